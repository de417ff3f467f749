//! The page, as people meet it: in a real browser, on real servers.

mod access;
mod feed;
mod figures;
mod hostile_text;
mod keyboard;
mod layout;
mod live;
mod outages;
mod readable;

use harness::{Browser, Postgres, Redis, Sidecar, SidecarBuilder, assert_eventually, free_port};

const ACME: &str = "11111111-1111-4111-8111-111111111111";
const GLOBEX: &str = "22222222-2222-4222-8222-222222222222";
/// A tenant of which there is nothing.
const INITECH: &str = "33333333-3333-4333-8333-333333333333";

/// Three tenants. A sum with more digits than a float has, and no value wherever there may be none.
const CRM: &str = "
INSERT INTO tenant (id, tenant_id, name) VALUES
    ('11111111-1111-4111-8111-111111111111', 'acme', 'Acme'),
    ('22222222-2222-4222-8222-222222222222', 'globex', 'Globex'),
    ('33333333-3333-4333-8333-333333333333', 'initech', 'Initech');
INSERT INTO contacts (tenant_id) SELECT '11111111-1111-4111-8111-111111111111' FROM generate_series(1, 1234);
INSERT INTO accounts (tenant_id, name, is_test_data)
    SELECT '11111111-1111-4111-8111-111111111111', 'Account ' || n, n > 8 FROM generate_series(1, 10) AS n;
INSERT INTO leads (tenant_id, first_name, last_name, company, email, phone, status, source, is_test_data, created_date, created_at)
    SELECT '11111111-1111-4111-8111-111111111111', 'Mara', 'Lindqvist ' || n, 'Brightwater', 'mara' || n || '@example.com', '+49 30 ' || n,
           (ARRAY['new', 'contacted', 'converted', 'lost', NULL])[n % 5 + 1], 'source ' || n % 14, n % 7 = 0,
           now() - n * interval '1 day', now() - n * interval '1 hour'
    FROM generate_series(1, 70) AS n;
INSERT INTO leads (tenant_id, created_at) VALUES ('11111111-1111-4111-8111-111111111111', now());
INSERT INTO opportunities (tenant_id, name, stage, amount, probability, updated_at)
    SELECT '11111111-1111-4111-8111-111111111111', 'Renewal ' || n,
           (ARRAY['prospecting', 'qualification', 'proposal', 'negotiation', 'closed_won', 'closed_lost'])[n % 6 + 1], n * 1000.25, 10 * (n % 10),
           now() - n * interval '1 hour'
    FROM generate_series(1, 30) AS n;
INSERT INTO opportunities (tenant_id, name, stage, amount) SELECT '11111111-1111-4111-8111-111111111111', 'Large', 'won', 9999999999999.99 FROM generate_series(1, 20);
INSERT INTO opportunities (tenant_id, name, stage) VALUES ('11111111-1111-4111-8111-111111111111', 'Unknown', NULL);
INSERT INTO activities (tenant_id, type, subject, status, created_date)
    SELECT '11111111-1111-4111-8111-111111111111', 'call', 'Call ' || n, (ARRAY['completed', NULL])[n % 2 + 1], now() FROM generate_series(1, 12) AS n;
INSERT INTO contacts (tenant_id) SELECT '22222222-2222-4222-8222-222222222222' FROM generate_series(1, 77);";

/// Everything that a page needs, and a browser that shows it.
struct Page {
    // First, so that the browser is gone before the servers are.
    browser: Browser,
    sidecar: Sidecar,
    redis: Redis,
    postgres: Postgres,
}

impl Page {
    /// A page that asks nobody for a token.
    fn start() -> Self {
        Self::on(Self::crm(), |sidecar| sidecar)
    }

    fn crm() -> Postgres {
        let postgres = Postgres::start();
        postgres.execute(CRM);
        postgres
    }

    fn on(postgres: Postgres, configure: impl FnOnce(SidecarBuilder) -> SidecarBuilder) -> Self {
        let port = free_port();
        let sidecar =
            Sidecar::builder().database(postgres.url()).env("REDIS_URL", format!("redis://127.0.0.1:{port}"));
        let sidecar = configure(sidecar).start();
        let redis = Redis::builder().setting("sidecar", sidecar.url()).line(&format!("port {port}")).start();
        Self { browser: Browser::start(), sidecar, redis, postgres }
    }

    /// The page's address, with what is to stand behind the path.
    fn address(&self, rest: &str) -> String {
        format!("{}/dashboard{rest}", self.sidecar.public().origin())
    }

    /// Opens the page.
    fn visit(&self, rest: &str) {
        self.browser.open(&self.address(rest));
    }

    /// Opens a tenant and waits until its figures are there and changes are followed.
    fn show(&self, tenant: &str) {
        self.visit(&format!("?tenant={tenant}"));
        self.wait_for_figures();
        self.wait_for_stream();
    }

    /// Waits until the page is told when its bundle has changed.
    fn wait_for_stream(&self) {
        let stream = || self.browser.run("return document.getElementById('live').dataset.stream", &[]);
        assert_eventually!(stream() == "connected", harness::DEADLINE * 2, "the stream is open");
    }

    fn wait_for_figures(&self) {
        assert_eventually!(self.has_figures(), "figures are shown");
    }

    fn has_figures(&self) -> bool {
        self.browser.sees("[data-figure=totalContacts] data")
    }

    /// A figure as the eye sees it.
    fn figure(&self, name: &str) -> String {
        self.browser.text(&format!("[data-figure={name}]"))
    }

    /// A figure with every digit.
    fn value(&self, name: &str) -> String {
        let script = "return document.querySelector(`[data-figure=${arguments[0]}] data`)?.value ?? ''";
        self.browser.run(script, &[name.into()]).as_str().unwrap_or_default().to_owned()
    }

    /// Ends a test: nothing has gone wrong in the page, and its policy had nothing to forbid. What `expected` names
    /// by a part of its text may have: an answer other than 200 stands in the console as an error.
    fn finish(&self, expected: &[&str]) {
        let bad: Vec<_> = self
            .browser
            .console()
            .into_iter()
            .filter(|line| line.level == "SEVERE" || line.level == "WARNING" || line.source == "security")
            .filter(|line| !(line.source == "network" && expected.iter().any(|e| line.message.contains(e))))
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }
}
