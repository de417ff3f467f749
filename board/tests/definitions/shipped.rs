//! The boards that come with the project.

use board::Board;
use board::canonical;
use board::definition::{Content, Declared, Figure, Measure, Shape, Whose};
use board::path::Column;
use board::read::read;
use std::path::Path;

fn shipped(name: &str) -> Board {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let beside =
        |file: &str| std::fs::read_to_string(path.with_file_name(file)).map_err(|error| error.to_string());
    let bytes = std::fs::read(&path).unwrap();
    read(name, &bytes, &beside).unwrap_or_else(|errors| panic!("{errors}"))
}

fn declared(board: &Board) -> &Declared {
    match &board.content {
        Content::Declared(declared) => declared,
        Content::Query(_) => panic!("{} has a statement of its own", board.name),
    }
}

fn figure<'a>(declared: &'a Declared, path: &str) -> &'a Figure {
    declared.figures.iter().find(|figure| figure.path.to_string() == path).unwrap()
}

#[test]
fn the_board_of_the_crm_has_the_members_that_front_ends_read() {
    let board = shipped("boards/crm.toml");
    assert_eq!(board.name.as_str(), "crm");
    assert!(board.leaves_out());
    let declared = declared(&board);
    let figures = declared.figures.iter().map(|figure| figure.path.to_string());
    let lists = declared.lists.iter().map(|list| {
        let columns: Vec<&str> = list.columns.iter().map(Column::as_str).collect();
        format!("lists.{} {} {}", list.name, list.limit, columns.join(" "))
    });
    let members: Vec<String> = figures.chain(lists).collect();
    let expected: Vec<&str> = include_str!("crm.txt").lines().collect();
    assert_eq!(members, expected);

    let Shape::Steps { steps, .. } = &figure(declared, "funnel").counted().unwrap().shape else { panic!() };
    let names: Vec<&str> = steps.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(
        names,
        ["prospecting", "qualification", "proposal", "negotiation", "closed_won", "closed_lost"]
    );

    let recent = figure(declared, "stats.activitiesLast30Days").counted().unwrap();
    let Shape::Number { recent: Some(recent), previous: Some(previous) } = &recent.shape else { panic!() };
    assert_eq!((recent.window.interval(), recent.at.as_str()), ("30 days".to_owned(), "created_date"));
    assert_eq!(previous.to_string(), "stats.activitiesLast30DaysPrevious");
    let open = figure(declared, "stats.openOpportunities").counted().unwrap();
    assert_eq!(
        open.filter.as_ref().unwrap().sql(Some("o")),
        "o.stage not in ('won', 'closed_won', 'lost', 'closed_lost')"
    );
}

#[test]
fn columns_of_a_source_are_all_that_its_figures_and_lists_read() {
    let board = shipped("boards/crm.toml");
    let declared = declared(&board);
    let columns = |name: &str| {
        let (id, _) = declared.sources().find(|(_, source)| source.name == name).unwrap();
        declared.columns(id).into_iter().map(|column| column.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(columns("contacts"), ["is_test_data", "tenant_id"]);
    assert_eq!(
        columns("opportunities"),
        [
            "amount",
            "assigned_to",
            "created_date",
            "id",
            "is_test_data",
            "name",
            "probability",
            "stage",
            "tenant_id",
            "updated_at"
        ]
    );
}

#[test]
fn the_examples_are_boards_of_at_most_thirty_lines() {
    for name in ["helpdesk", "billing", "mrr"] {
        let path = format!("examples/boards/{name}.toml");
        let lines =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&path)).unwrap();
        assert!(lines.lines().count() <= 30, "{path}");
        shipped(&path);
    }
}

#[test]
fn the_help_desk_computes_a_share_and_an_average() {
    let board = shipped("examples/boards/helpdesk.toml");
    assert!(!board.leaves_out());
    let declared = declared(&board);
    assert!(matches!(figure(declared, "stats.firstReply").counted().unwrap().measure, Measure::Average(_)));
    let derived: Vec<&str> =
        declared.derived.iter().map(|place| declared.figures[*place].path.name()).collect();
    assert_eq!(derived, ["unassignedShare"]);
}

#[test]
fn a_board_of_its_own_statement_is_followed_and_bounded() {
    let board = shipped("examples/boards/mrr.toml");
    let Content::Query(query) = &board.content else { panic!() };
    assert!(
        query.statement.contains("with monthly as") && query.statement.contains("$1") && !query.uses_include
    );
    assert_eq!(query.at_most_every.as_secs(), 30);
    let whose: Vec<bool> = board.follow.iter().map(|follow| follow.whose == Whose::Everybody).collect();
    assert_eq!(whose, [false, false, true]);
}

#[test]
fn every_shipped_board_has_a_hash_of_its_own() {
    let names = [
        "boards/crm.toml",
        "examples/boards/helpdesk.toml",
        "examples/boards/billing.toml",
        "examples/boards/mrr.toml",
    ];
    let mut hashes: Vec<String> = names.iter().map(|name| canonical::hash(&shipped(name))).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), names.len());
    assert!(names.iter().all(|name| canonical::canonical(&shipped(name)).starts_with("{\"board\":")));
}
