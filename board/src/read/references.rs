//! What figures have to do with one another: none stands in another's place, and each value names numbers that are there.

use super::Reader;
use crate::definition::{Counted, Figure, Rule, Shape};
use crate::error::nearest;
use crate::path::FigurePath;
use std::collections::BTreeMap;
use std::ops::Range;

/// The figures that a value names, each with its place in the file.
pub(super) type Names = Vec<(FigurePath, Range<usize>)>;

/// A derived figure, by its place among the figures, and what it names.
pub(super) struct Named {
    pub(super) figure: usize,
    pub(super) names: Names,
}

impl Reader<'_> {
    /// No two members of the bundle at one path, and none below another.
    pub(super) fn places(&mut self, figures: &[Figure], places: &[&Range<usize>]) {
        let mut members: Vec<(FigurePath, usize, bool)> = Vec::new();
        for (number, figure) in figures.iter().enumerate() {
            members.push((figure.path.clone(), number, false));
            if let Some(Shape::Number { previous: Some(previous), .. }) =
                figure.counted().map(|counted| &counted.shape)
            {
                members.push((previous.clone(), number, true));
            }
        }
        for (at, (path, number, is_previous)) in members.iter().enumerate() {
            for (earlier, other, other_is_previous) in &members[..at] {
                let place = places[*number.max(other)];
                if path == earlier {
                    let taken = if *is_previous || *other_is_previous {
                        ", where `compare` puts the period before"
                    } else {
                        ""
                    };
                    self.fail(
                        place,
                        format!("two figures stand at `{path}`{taken}"),
                        "Give one of them another path.",
                    );
                } else if path.contains(earlier) || earlier.contains(path) {
                    let (outer, inner) =
                        if earlier.contains(path) { (earlier, path) } else { (path, earlier) };
                    self.fail(
                        place,
                        format!("`{inner}` lies below the figure `{outer}`"),
                        format!("Give one of them another path, for example: \"{outer}_{}\"", inner.name()),
                    );
                }
            }
        }
    }

    /// Each value names single numbers that are there, and no value comes back to itself. Returns an order in which
    /// they can be computed.
    pub(super) fn derivable(&mut self, figures: &[Figure], named: &[Named]) -> Option<Vec<usize>> {
        let before = self.found.count();
        let mut numbers: BTreeMap<FigurePath, Option<usize>> = BTreeMap::new();
        for (number, figure) in figures.iter().enumerate() {
            match &figure.rule {
                Rule::Derived(_) => _ = numbers.insert(figure.path.clone(), Some(number)),
                Rule::Counted(Counted { shape: Shape::Number { previous, .. }, .. }) => {
                    numbers.insert(figure.path.clone(), None);
                    numbers.extend(previous.iter().map(|path| (path.clone(), None)));
                }
                Rule::Counted(_) => {}
            }
        }
        let mut needs: BTreeMap<usize, Vec<(usize, &Range<usize>)>> = BTreeMap::new();
        for Named { figure, names } in named {
            let needed = needs.entry(*figure).or_default();
            for (path, place) in names {
                match numbers.get(path) {
                    Some(Some(derived)) => needed.push((*derived, place)),
                    Some(None) => {}
                    None => self.unknown(path, place, figures, numbers.keys()),
                }
            }
        }
        let mut order = Vec::new();
        for Named { figure, .. } in named {
            self.visit(*figure, figures, &needs, &mut Vec::new(), &mut order);
        }
        (self.found.count() == before).then_some(order)
    }

    fn unknown<'p>(
        &mut self,
        path: &FigurePath,
        place: &Range<usize>,
        figures: &[Figure],
        numbers: impl Iterator<Item = &'p FigurePath>,
    ) {
        if figures.iter().any(|figure| figure.path == *path) {
            self.fail(
                place,
                format!("`{path}` is not a single number"),
                "Name figures without `by`, `steps` and `per`; make one if there is none.",
            );
            return;
        }
        let numbers: Vec<String> = numbers.map(ToString::to_string).collect();
        let remedy = match nearest(&path.to_string(), numbers.iter().map(String::as_str)) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => "Name a figure of this board by its path.".to_owned(),
        };
        self.fail(place, format!("there is no figure `{path}`"), remedy);
    }

    /// Puts a figure into the order, behind those that it needs.
    fn visit(
        &mut self,
        figure: usize,
        figures: &[Figure],
        needs: &BTreeMap<usize, Vec<(usize, &Range<usize>)>>,
        under_way: &mut Vec<usize>,
        order: &mut Vec<usize>,
    ) {
        if order.contains(&figure) {
            return;
        }
        under_way.push(figure);
        for (needed, place) in needs.get(&figure).into_iter().flatten() {
            match under_way.iter().position(|other| other == needed) {
                Some(start) => {
                    let way: Vec<String> = under_way[start..]
                        .iter()
                        .chain([needed])
                        .map(|number| figures[*number].path.to_string())
                        .collect();
                    self.fail(
                        place,
                        format!("`{}` refers to itself: {}", figures[*needed].path, way.join(" -> ")),
                        "Compute one of them from figures that count rows.",
                    );
                }
                None => self.visit(*needed, figures, needs, under_way, order),
            }
        }
        under_way.pop();
        order.push(figure);
    }
}
