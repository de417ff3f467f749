//! A database with tables of some application, and boards that have been applied to it.

use board::Board;
use board::definition::Content;
use compiler::facts::{COLUMNS, TableFacts, Type};
use compiler::query::QueryPlan;
use compiler::{Catalogue, Facts, Plan, bundle, fan_out, triggers};
use harness::Postgres;
use postgres::Client;

const SHARED: &str = include_str!("../../compiler/src/shared.sql");

pub(super) struct Scene {
    pub(super) postgres: Postgres,
    pub(super) board: Board,
    /// Whose bundles are compared.
    pub(super) tenants: Vec<String>,
}

/// What has gone wrong on the way from a definition to SQL; for tests that want to see a fault found.
pub(super) type Mutation<'a> = &'a dyn Fn(&str) -> String;

pub(super) fn read(definition: &str) -> Board {
    let beside = |name: &str| {
        std::fs::read_to_string(harness::repository_root().join("examples/boards").join(name))
            .map_err(|error| error.to_string())
    };
    board::read::read("board.toml", definition.as_bytes(), &beside)
        .unwrap_or_else(|errors| panic!("{errors}\n{definition}"))
}

/// What the database says of the tables that a board names.
pub(super) fn facts(client: &mut Client, board: &Board) -> Facts {
    let mut facts = Facts::default();
    for table in Facts::tables(board) {
        let rows = client.query(COLUMNS, &[&table.sql()]).unwrap();
        let Some(first) = rows.first() else { continue };
        let columns = rows.iter().map(|row| {
            let letter = |place: usize| row.get::<_, String>(place).chars().next().unwrap();
            let column = board::path::Column::parse(row.get(1)).unwrap();
            (column, Type::of(row.get(2), letter(3), letter(4)))
        });
        facts.note(table.clone(), TableFacts { qualified: first.get(0), columns: columns.collect() });
    }
    facts
}

impl Scene {
    /// Creates the tables, applies a board and counts what is there.
    pub(super) fn start(tables: &str, definition: &str, mutation: Mutation<'_>) -> Self {
        let postgres = Postgres::start_unmigrated();
        postgres.execute(tables);
        postgres.execute("CREATE SCHEMA dashboard; CREATE TABLE dashboard.lock (name text PRIMARY KEY); INSERT INTO dashboard.lock VALUES ('compactor')");
        postgres.execute(SHARED);
        let mut scene = Self { board: read(definition), postgres, tenants: Vec::new() };
        scene.apply(definition, mutation);
        let (key, table) = (scene.board.tenants.key.sql(), scene.board.tenants.table.sql());
        let rows = scene.postgres.client().query(&format!("SELECT {key}::text FROM {table}"), &[]).unwrap();
        scene.tenants = rows.iter().map(|row| row.get(0)).collect();
        scene
    }

    fn apply(&self, definition: &str, mutation: Mutation<'_>) {
        let mut client = self.postgres.client();
        let facts = facts(&mut client, &self.board);
        let mut catalogue = Catalogue::default();
        let counted = matches!(self.board.content, Content::Declared(_));
        let (mut statements, tenant_types, feeds) = if counted {
            let plan =
                Plan::of(&self.board, &facts, &mut catalogue).unwrap_or_else(|fault| panic!("{fault}"));
            let functions = bundle::functions(&plan, &catalogue).unwrap();
            (functions, plan.tenant_types(&catalogue), plan.feeds())
        } else {
            let plan =
                QueryPlan::of(&self.board, &facts, &mut catalogue).unwrap_or_else(|fault| panic!("{fault}"));
            (plan.functions(), vec!["text".to_owned(); catalogue.feeds.len()], plan.feeds)
        };
        statements.push(fan_out::cells_function(&catalogue));
        statements.push(fan_out::units_function(&catalogue));
        statements.push(fan_out::tally_function(&catalogue, &tenant_types));
        for (place, feed) in catalogue.feeds.iter().enumerate() {
            statements.extend(triggers::functions(feed, place + 1));
            statements.extend(triggers::triggers(feed, place + 1));
        }
        for statement in statements {
            assert!(statement.is_ascii(), "{statement}");
            let statement = mutation(&statement);
            client.batch_execute(&statement).unwrap_or_else(|error| panic!("{error:?}\n{statement}"));
        }
        let feeds: Vec<i32> = feeds.into_iter().map(|feed| i32::try_from(feed).unwrap()).collect();
        let everybody = self.board.tenants.all.as_ref().map(|all| all.as_str());
        client
            .execute(
                "INSERT INTO dashboard.board (name, definition, hash, feeds, everybody, counted) VALUES ($1, $2, $3, $4, $5, $6)",
                &[&self.board.name.as_str(), &definition, &board::canonical::hash(&self.board), &feeds, &everybody, &counted],
            )
            .unwrap();
        client.execute("SELECT dashboard.recount($1)", &[&feeds]).unwrap();
    }
}
