//! Nothing overlaps and nothing sticks out, in both themes, on a phone, a tablet and a desk.

use harness::{Browser, assert_eventually};

use super::{ACME, Page};

const WIDTHS: [u32; 3] = [360, 768, 1440];
const THEMES: [&str; 2] = ["light", "dark"];

/// Texts and controls that lie upon each other or beyond the page, and how. What is cut off with an ellipsis ends where
/// its box does; what lies in front of the page by intention (a list that is open, a dialogue) is not looked at.
const OVERLAPS: &str = r"
const page = document.documentElement;
const found = [];
if (page.scrollWidth > page.clientWidth) found.push(`the page is ${page.scrollWidth} wide, the window ${page.clientWidth}`);
const isClipped = (e) => e !== null && (getComputedStyle(e).clipPath !== 'none' || isClipped(e.parentElement));
const isSeen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !e.closest('.skip, dialog, [role=listbox]') && !isClipped(e);
const boxes = [];
for (const e of document.querySelectorAll('body *')) {
  const isLeaf = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim() !== '');
  if (!isSeen(e) || !(isLeaf || e.matches('button, input[type=text], svg, .track'))) continue;
  let { left, top, right, bottom } = e.getBoundingClientRect();
  if (isLeaf && !e.matches('button')) {
    const range = document.createRange();
    range.selectNodeContents(e);
    const text = range.getBoundingClientRect();
    const isCut = getComputedStyle(e).overflowX !== 'visible';
    [left, right] = isCut ? [Math.max(left, text.left), Math.min(right, text.right)] : [text.left, text.right];
    [top, bottom] = [text.top, text.bottom];
  }
  if (right - left < 1 || bottom - top < 1) continue;
  boxes.push({ e, left, top: top + scrollY, right, bottom: bottom + scrollY });
}
const name = ({ e }) => `${e.tagName.toLowerCase()}.${e.className.baseVal ?? e.className} “${(e.textContent ?? '').trim().slice(0, 30)}”`;
for (const [i, a] of boxes.entries()) {
  if (a.left < -0.5 || a.right > page.clientWidth + 0.5) found.push(`${name(a)} sticks out of the page`);
  const card = a.e.closest('.card');
  if (card && a.right > card.getBoundingClientRect().right + 0.5) found.push(`${name(a)} sticks out of its card`);
  for (const b of boxes.slice(i + 1)) {
    if (a.e.contains(b.e) || b.e.contains(a.e)) continue;
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (x > 1.5 && y > 2.5) found.push(`${name(a)} and ${name(b)} overlap by ${x.toFixed(1)} × ${y.toFixed(1)}`);
  }
}
return found.slice(0, 20);";

/// What lies upon something else, or beyond the page.
pub(super) fn overlaps(browser: &Browser) -> Vec<String> {
    // A bar on top that stays there covers what is scrolled below it, as it should.
    browser.run("scrollTo(0, 0)", &[]);
    serde_json::from_value(browser.run(OVERLAPS, &[])).expect("a list of texts")
}

fn look(page: &Page, name: &str) {
    for theme in THEMES {
        page.browser.prefer(theme, true);
        for width in WIDTHS {
            page.browser.resize(width, 900);
            assert_eq!(overlaps(&page.browser), Vec::<String>::new(), "{name}, {theme}, {width}");
            page.browser.screenshot(&format!("{name}-{theme}-{width}"));
        }
    }
}

#[test]
fn the_overview_fits_at_every_width_in_both_themes() {
    let page = Page::start();
    page.show(ACME);
    for list in ["leads", "opportunities"] {
        page.browser.click(&format!("#tab-{list}"));
        for width in WIDTHS {
            page.browser.resize(width, 900);
            assert_eq!(overlaps(&page.browser), Vec::<String>::new(), "{list}, {width}");
        }
    }
    page.browser.click("#tab-activities");
    look(&page, "overview");
    page.finish(&[]);
}

#[test]
fn the_operators_view_fits_at_every_width_in_both_themes() {
    let page = Page::start();
    page.show(ACME);
    page.redis.cli(&["DASHBOARD.WARM"]);
    page.browser.click("#tab-operations");
    assert_eventually!(page.browser.text("#operations").contains("Fresh already"), "figures are there");
    assert!(
        page.browser.text("#operations").contains("0 of 8"),
        "all that there may be, not those that are open"
    );
    look(&page, "operations");
    page.finish(&[]);
}

#[test]
fn what_can_go_wrong_fits_too() {
    let page = Page::start();
    page.visit("?tenant=nobody");
    assert_eventually!(page.browser.sees("#refusal button"), "no such tenant");
    look(&page, "unknown-tenant");
    page.finish(&["404"]);
}

#[test]
fn a_theme_that_is_chosen_is_remembered() {
    let page = Page::start();
    page.browser.prefer("light", true);
    page.show(ACME);
    let canvas = || page.browser.run("return getComputedStyle(document.body).backgroundColor", &[]);
    let light = canvas();
    page.browser.click("#themes label:has([value=dark])");
    let dark = canvas();
    assert_ne!(light, dark);

    page.show(ACME);
    assert_eq!(canvas(), dark);
    page.browser.click("#themes label:has([value=system])");
    assert_eq!(canvas(), light);
    page.finish(&[]);
}
