//! Who does not see the page, or not well, can read it all the same: names, headings, tables, contrast, sizes.

use harness::{Browser, Key, assert_eventually};

use super::{ACME, Page};

/// Controls without a name, headings that skip a level, tables without a caption, ids that stand twice, references to nothing.
const STRUCTURE: &str = r"
const found = [];
const isSeen = (e) => e.checkVisibility({ visibilityProperty: true });
const text = (id) => document.getElementById(id)?.textContent.trim() ?? '';
for (const e of document.querySelectorAll('button, input, [role=tab], [role=tablist], [role=img], [role=progressbar], [role=listbox], fieldset, dialog')) {
  const name = e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') ?? '').split(' ').map(text).join('')
    || [...(e.labels ?? [])].map((l) => l.textContent.trim()).join('') || e.querySelector('legend')?.textContent
    || (e.matches('button, [role=tab]') ? e.textContent.trim() : '');
  if (isSeen(e) && !name) found.push(`${e.outerHTML.slice(0, 80)} has no name`);
}
let level = 0;
for (const e of [...document.querySelectorAll('h1, h2, h3, h4')].filter(isSeen)) {
  const own = Number(e.tagName[1]);
  if (own > level + 1) found.push(`${e.tagName} “${e.textContent}” follows a heading of level ${level}`);
  level = own;
}
if ([...document.querySelectorAll('h1')].filter(isSeen).length !== 1) found.push('there is not one h1');
for (const e of document.querySelectorAll('table')) {
  if (!e.caption?.textContent.trim()) found.push('a table without a caption');
  for (const th of e.querySelectorAll('th')) if (!th.scope) found.push(`the head “${th.textContent}” has no scope`);
}
for (const name of ['aria-controls', 'aria-labelledby', 'aria-describedby', 'for']) {
  for (const e of document.querySelectorAll(`[${name}]`)) {
    for (const id of e.getAttribute(name).split(' ')) if (!document.getElementById(id)) found.push(`${name}=${id} leads nowhere`);
  }
}
const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) found.push(`the id ${id} stands twice`);
if (!document.documentElement.lang || !document.title) found.push('the page has no language or title');
for (const landmark of ['header', 'main']) if (document.querySelectorAll(landmark).length !== 1) found.push(`there is not one ${landmark}`);
return found;";

/// Texts whose colour is too near to the one behind them (4.5:1, and 3:1 from 24 pixels on).
const CONTRAST: &str = r"
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].map((n) => n / 255);
};
const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
const behind = (e) => {
  const layers = [];
  for (let at = e; at; at = at.parentElement) {
    const colour = rgba(getComputedStyle(at).backgroundColor);
    if (colour[3] > 0) layers.push(colour);
    if (colour[3] === 1) break;
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [1, 1, 1, 1]);
};
const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const found = new Set();
let looked = 0;
for (const e of document.querySelectorAll('body *')) {
  if (e.closest('.unseen, .skip, noscript') || !e.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
  if (![...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim() !== '')) continue;
  const style = getComputedStyle(e);
  const back = behind(e);
  const [a, b] = [luminance(over(rgba(style.color), back)), luminance(back)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  looked += 1;
  if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) found.add(`${ratio.toFixed(2)}: ${e.tagName}.${e.className} “${e.textContent.trim().slice(0, 30)}”`);
}
if (looked < 5) found.add(`only ${looked} texts were found`);
return [...found];";

/// Targets that are smaller than a finger on a phone.
const SMALL: &str = r"
return [...document.querySelectorAll('button, input:not([type=radio]):not([type=checkbox]), label.switch, #themes label, summary')]
  .filter((e) => e.checkVisibility({ visibilityProperty: true }))
  .filter((e) => { const { width, height } = e.getBoundingClientRect(); return height < 43.5 || width < 43.5; })
  .map((e) => `${e.outerHTML.slice(0, 60)} ${e.getBoundingClientRect().width.toFixed(0)} × ${e.getBoundingClientRect().height.toFixed(0)}`);";

fn found(browser: &Browser, script: &str) -> Vec<String> {
    serde_json::from_value(browser.run(script, &[])).expect("a list of texts")
}

fn check(browser: &Browser, what: &str) {
    assert_eq!(found(browser, STRUCTURE), Vec::<String>::new(), "{what}");
    for theme in ["light", "dark"] {
        browser.prefer(theme, true);
        assert_eq!(found(browser, CONTRAST), Vec::<String>::new(), "{what}, {theme}");
    }
    browser.resize(360, 800);
    assert_eq!(found(browser, SMALL), Vec::<String>::new(), "{what}, on a phone");
    browser.resize(1440, 900);
}

#[test]
fn names_headings_contrast_and_sizes_are_right_wherever_one_looks() {
    let page = Page::start();
    page.browser.prefer("light", true);
    page.show(ACME);
    for list in ["activities", "leads", "opportunities"] {
        page.browser.click(&format!("#tab-{list}"));
        check(&page.browser, list);
    }
    page.browser.click("#clear");
    check(&page.browser, "the dialogue");
    page.browser.click("#clear-no");
    page.browser.click("#tenant");
    assert_eventually!(page.browser.sees("#tenant-list li"), "the list is open");
    check(&page.browser, "the picker");
    page.browser.key(Key::Escape);
    page.browser.click("#tab-operations");
    assert_eventually!(page.browser.sees("#operations .job"), "the operators' figures");
    check(&page.browser, "operations");
    page.visit("?tenant=nobody");
    assert_eventually!(page.browser.sees("#refusal button"), "no such tenant");
    check(&page.browser, "a refusal");
    page.finish(&["404"]);
}
