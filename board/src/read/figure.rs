//! Figures: which keys belong together, where they stand, and which of them compute with others.

use super::references::{Named, Names};
use super::{Reader, words_of};
use crate::definition::{Counted, Figure, Groups, Measure, Recent, Rule, Series, Shape, Step, Steps, Unit};
use crate::derived::Arithmetic;
use crate::error::{Fault, quoted};
use crate::expression::Expression;
use crate::file::{At, Entries, FigureFile, SourceFile, Words};
use crate::path::{Column, FigurePath, part};
use crate::window::{self, Per, Window};
use chrono_tz::Tz;
use std::collections::BTreeMap;
use std::ops::Range;

/// Most steps, and most words of a step.
const MAX_STEPS: usize = 50;
/// Longest word of a step, in characters.
const MAX_WORD: usize = 200;
const MOST: u32 = 50;
const CUT: u32 = 200;
const OTHER: &str = "other";

impl Reader<'_> {
    /// All figures, and the places of the derived ones in an order in which they can be computed.
    pub(super) fn figures(
        &mut self,
        entries: &Entries<FigureFile>,
        sources: &Entries<SourceFile>,
    ) -> Option<(Vec<Figure>, Vec<usize>)> {
        let mut figures = Vec::new();
        let mut named = Vec::new();
        let mut whole = true;
        for (path, figure) in &entries.0 {
            match self.figure(path, figure, sources) {
                Some((figure, names)) => {
                    if matches!(figure.rule, Rule::Derived(_)) {
                        named.push(Named { figure: figures.len(), names });
                    }
                    figures.push(figure);
                }
                None => whole = false,
            }
        }
        // Whether a name is there can only be said when all of them could be read.
        if !whole {
            return None;
        }
        let places: Vec<&Range<usize>> = entries.0.iter().map(|(path, _)| &path.span).collect();
        self.places(&figures, &places);
        let derived = self.derivable(&figures, &named)?;
        Some((figures, derived))
    }

    fn figure(
        &mut self,
        path: &At<String>,
        figure: &FigureFile,
        sources: &Entries<SourceFile>,
    ) -> Option<(Figure, Names)> {
        let known = self.parse(path, FigurePath::parse);
        let title = self.title(figure.title.as_ref());
        let note = self.note(figure.note.as_ref());
        let unit = figure
            .unit
            .as_ref()
            .and_then(|text| Unit::ALL.into_iter().find(|unit| unit.name() == text.value));
        let rule = match (&figure.from, &figure.value) {
            (Some(from), None) => {
                let counted = self.counted(known.as_ref(), path, from, figure, sources);
                counted.map(|counted| (Rule::Counted(counted), Vec::new()))
            }
            (None, Some(value)) => self.value(value, figure),
            (Some(_), Some(value)) => {
                self.fail(
                    &value.span,
                    "this figure counts rows (`from`) and computes with figures (`value`)",
                    "Keep one of the two, and make a second figure of the other.",
                );
                None
            }
            (None, None) => {
                self.fail(
                    &path.span,
                    "this figure has neither `from` nor `value`",
                    "Add from = \"...\" with a source whose rows count, or value = \"...\" with arithmetic over other figures.",
                );
                None
            }
        };
        let (rule, names) = rule?;
        let path = known?;
        let title = title?.unwrap_or_else(|| words_of(path.name()));
        Some((Figure { title, path, note: note?, unit: unit.unwrap_or(Unit::Number), rule }, names))
    }

    fn value(&mut self, value: &At<String>, figure: &FigureFile) -> Option<(Rule, Names)> {
        let others = [
            ("where", span(&figure.r#where)),
            ("sum", span(&figure.sum)),
            ("avg", span(&figure.avg)),
            ("by", span(&figure.by)),
            ("most", span(&figure.most)),
            ("other", span(&figure.other)),
            ("cut", span(&figure.cut)),
            ("last", span(&figure.last)),
            ("compare", span(&figure.compare)),
            ("at", span(&figure.at)),
            ("per", span(&figure.per)),
            ("zone", span(&figure.zone)),
            ("column", span(&figure.column)),
        ];
        let mut whole = true;
        for (key, at) in others {
            if let Some(at) = at {
                self.fail(
                    &at,
                    format!("`{key}` is about rows, and this figure computes with figures"),
                    "Remove it, or `value`.",
                );
                whole = false;
            }
        }
        if figure.steps.is_some() {
            self.fail(
                &value.span,
                "`steps` are about rows, and this figure computes with figures",
                "Remove them, or `value`.",
            );
            whole = false;
        }
        let (arithmetic, named) = self.parse(value, Arithmetic::parse)?;
        let named = named
            .into_iter()
            .map(|(path, at)| {
                let length = path.to_string().len();
                // The error's place is found as for any fault in this text.
                let place = self.file.place(value.span.clone(), &value.value, at, length);
                (path, place)
            })
            .collect();
        whole.then_some((Rule::Derived(arithmetic), named))
    }

    fn counted(
        &mut self,
        known: Option<&FigurePath>,
        path: &At<String>,
        from: &At<String>,
        figure: &FigureFile,
        sources: &Entries<SourceFile>,
    ) -> Option<Counted> {
        let source = self.from(from, sources);
        let source_at = sources
            .0
            .iter()
            .find(|(name, _)| name.value == from.value)
            .and_then(|(_, source)| source.at.as_ref());
        let filter = self.expression(figure.r#where.as_ref());
        let measure = self.measure(figure);
        let shape = self.shape(known, path, figure, source.is_some(), source_at);
        Some(Counted { source: source?, filter: filter?, measure: measure?, shape: shape? })
    }

    fn measure(&mut self, figure: &FigureFile) -> Option<Measure> {
        match (&figure.sum, &figure.avg) {
            (None, None) => Some(Measure::Count),
            (Some(sum), None) => self.parse(sum, Expression::parse).map(Measure::Sum),
            (None, Some(avg)) => self.parse(avg, Expression::parse).map(Measure::Average),
            (Some(_), Some(avg)) => {
                self.fail(
                    &avg.span,
                    "this figure has both `sum` and `avg`",
                    "Keep one, and make a second figure of the other.",
                );
                None
            }
        }
    }

    fn shape(
        &mut self,
        known: Option<&FigurePath>,
        path: &At<String>,
        figure: &FigureFile,
        source_known: bool,
        source_at: Option<&At<String>>,
    ) -> Option<Shape> {
        let fits = self.belong(path, figure);
        let at = self.at(figure, source_known, source_at);
        let groups = match &figure.by {
            Some(by) => self.groups(by, figure).map(Some),
            None => Some(None),
        };
        let steps = match (&figure.column, &figure.steps) {
            (Some(column), Some(steps)) => self.steps(path, column, steps, figure).map(Some),
            _ => Some(None),
        };
        let window = self.optional(figure.last.as_ref(), Window::parse);
        let series = match &figure.per {
            Some(per) => self.series(per, figure, window.flatten()).map(Some),
            None => Some(None),
        };
        let (at, groups, steps, window) = (at?, groups?, steps?, window?);
        let series = series?;
        if !fits {
            return None;
        }
        let recent = match (window, &at) {
            (Some(window), Some(at)) => Some(Recent { window, at: at.clone() }),
            _ => None,
        };
        Some(match (series, steps, groups) {
            (Some((per, points, zone)), _, groups) => {
                Shape::Series(Series { per, points, zone, at: at?, groups })
            }
            (None, Some(steps), _) => Shape::Steps { steps, recent },
            (None, None, Some(groups)) => Shape::Groups { groups, recent },
            (None, None, None) => {
                let compare = figure.compare.as_ref().is_some_and(|compare| compare.value);
                Shape::Number { recent, previous: if compare { Some(known?.previous()) } else { None } }
            }
        })
    }

    /// Whether each key stands beside those that it needs, and beside none that rules it out.
    fn belong(&mut self, path: &At<String>, figure: &FigureFile) -> bool {
        let before = self.found.count();
        let grouped = figure.by.is_some() || figure.steps.is_some();
        let (by, per, last) = ("by = \"source\"", "per = \"day\"", "last = \"30 days\"");
        self.needs("most", &figure.most, figure.by.is_some(), "`by`", by);
        self.needs("cut", &figure.cut, figure.by.is_some(), "`by`", by);
        self.needs("other", &figure.other, grouped, "`by` or `steps`", by);
        self.needs("zone", &figure.zone, figure.per.is_some(), "`per`", per);
        self.needs("per", &figure.per, figure.last.is_some(), "`last`", last);
        self.needs("at", &figure.at, figure.last.is_some(), "`last`", last);
        self.needs("compare", &figure.compare, figure.last.is_some(), "`last`", last);
        self.needs(
            "column",
            &figure.column,
            figure.steps.is_some(),
            "`steps`",
            "steps = { won = [\"won\"] }",
        );
        if figure.steps.is_some() && figure.column.is_none() {
            self.fail(
                &path.span,
                "this figure has `steps` and no `column`",
                "Say which column has the step: column = \"stage\"",
            );
        }
        let apart: [(&str, bool, &str, Option<Range<usize>>); 5] = [
            ("steps", figure.steps.is_some(), "by", span(&figure.by)),
            ("steps", figure.steps.is_some(), "per", span(&figure.per)),
            ("per", figure.per.is_some(), "compare", span(&figure.compare)),
            ("by", figure.by.is_some() && figure.per.is_none(), "compare", span(&figure.compare)),
            ("steps", figure.steps.is_some() && figure.per.is_none(), "compare", span(&figure.compare)),
        ];
        for (key, there, other, at) in apart {
            if let Some(at) = at.filter(|_| there) {
                self.fail(
                    &at,
                    format!("`{other}` cannot stand beside `{key}`"),
                    "Remove one of them, or make two figures of this one.",
                );
            }
        }
        self.found.count() == before
    }

    /// A key that has no meaning without another.
    fn needs<T>(&mut self, key: &str, value: &Option<At<T>>, there: bool, needed: &str, example: &str) {
        if let Some(at) = span(value).filter(|_| !there) {
            self.fail(&at, format!("`{key}` needs {needed}"), format!("Remove it, or add: {example}"));
        }
    }

    /// The column of the time, where the figure has a window.
    fn at(
        &mut self,
        figure: &FigureFile,
        source_known: bool,
        source_at: Option<&At<String>>,
    ) -> Option<Option<Column>> {
        let Some(last) = &figure.last else { return Some(None) };
        match (&figure.at, source_at) {
            (Some(own), _) => self.parse(own, Column::parse).map(Some),
            // Its mistakes are told where the source is read.
            (None, Some(at)) => Column::parse(&at.value).ok().map(Some),
            (None, None) => {
                if source_known {
                    self.fail(
                        &last.span,
                        "`last` needs a column of time, and neither this figure nor its source has one",
                        "Add it to the source or to this figure, for example: at = \"created_at\"",
                    );
                }
                None
            }
        }
    }

    fn series(
        &mut self,
        per: &At<String>,
        figure: &FigureFile,
        window: Option<Window>,
    ) -> Option<(Per, u32, Tz)> {
        let step = self.parse(per, Per::parse);
        let zone = match &figure.zone {
            Some(zone) => self.parse(zone, window::zone),
            None => Some(Tz::UTC),
        };
        let last = figure.last.as_ref()?;
        let (step, window) = (step?, window?);
        let points = self.parse(last, |_| step.points(window));
        Some((step, points?, zone?))
    }

    fn groups(&mut self, by: &At<String>, figure: &FigureFile) -> Option<Groups> {
        let parsed = self.parse(by, Expression::parse);
        let other = self
            .words("other", figure.other.as_ref(), 64)
            .map(|other| other.unwrap_or_else(|| OTHER.to_owned()));
        Some(Groups {
            by: parsed?,
            most: self.number(figure.most.as_ref(), MOST),
            other: other?,
            cut: self.number(figure.cut.as_ref(), CUT),
        })
    }

    fn steps(
        &mut self,
        path: &At<String>,
        column: &At<String>,
        entries: &Entries<Words>,
        figure: &FigureFile,
    ) -> Option<Steps> {
        let before = self.found.count();
        let column = self.parse(column, Column::parse);
        if entries.0.is_empty() || entries.0.len() > MAX_STEPS {
            let span = entries.0.get(MAX_STEPS).map_or(&path.span, |(name, _)| &name.span).clone();
            self.fail(
                &span,
                format!("this figure has {} steps", entries.0.len()),
                format!("Use 1 to {MAX_STEPS}."),
            );
            return None;
        }
        let mut known: BTreeMap<&str, &str> = BTreeMap::new();
        let mut steps = Vec::new();
        for (name, words) in &entries.0 {
            let step = self.parse(name, |text| part(text, "a step"));
            if words.is_empty() || words.len() > MAX_STEPS {
                let message = format!("the step {} has {} words", quoted(&name.value), words.len());
                self.fail(
                    &name.span,
                    message,
                    format!("Give it 1 to {MAX_STEPS}, for example: won = [\"won\"]"),
                );
            }
            for word in words {
                if let Some(first) = known.insert(&word.value, &name.value) {
                    self.fail(
                        &word.span,
                        format!(
                            "the word {} is in two steps, {} and {}",
                            quoted(&word.value),
                            quoted(first),
                            quoted(&name.value)
                        ),
                        "Keep it in one of them: a row is in one step.",
                    );
                }
                if word.value.contains('\0') || word.value.chars().count() > MAX_WORD {
                    let message = format!("{} is no word of a step", quoted(&word.value));
                    self.fail(
                        &word.span,
                        message,
                        format!("Write at most {MAX_WORD} characters, and no NUL."),
                    );
                }
            }
            steps.extend(
                step.map(|name| Step { name, words: words.iter().map(|word| word.value.clone()).collect() }),
            );
        }
        let other = self.optional(figure.other.as_ref(), |text| {
            let name = part(text, "a step")?;
            if entries.0.iter().any(|(step, _)| step.value == name) {
                return Err(Fault::new(
                    0,
                    format!("there is a step {} already", quoted(&name)),
                    "Choose another name for the rest.",
                ));
            }
            Ok(name)
        });
        if self.found.count() > before {
            return None;
        }
        Some(Steps { column: column?, steps, other: other? })
    }
}

fn span<T>(at: &Option<At<T>>) -> Option<Range<usize>> {
    at.as_ref().map(|at| at.span.clone())
}
