//! The rows of each table: which column gets what. One function a table, one COPY each, tenant after tenant.

use chrono::{DateTime, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::copy::{Copy, Lines};
use super::error::Error;
use super::moments::Calendar;
use super::plan::{Plan, Table, Tenant, uuid};
use super::progress::Progress;
use super::{people, words};
use crate::pg::Transaction;

/// One tenant at work on one table.
struct Desk<'a> {
    tenant: &'a Tenant,
    /// `tenant_id`; rows that lost their tenant have none.
    tenant_id: Option<&'a str>,
    calendar: Calendar,
    rng: ChaCha8Rng,
}

impl Desk<'_> {
    /// `created_at` and `created_date`: the same moment, where an import has not left one of them out.
    fn created(&mut self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>, DateTime<Utc>) {
        let moment = self.calendar.moment(&mut self.rng);
        let at = (!self.rng.random_bool(0.001)).then_some(moment);
        let date = (!self.rng.random_bool(0.01)).then_some(moment);
        (at, date, moment)
    }

    fn updated(&mut self, created: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let moment = self.calendar.later(&mut self.rng, created);
        (!self.rng.random_bool(0.005)).then_some(moment)
    }
}

/// Writes every row of the plan and says how many there are, tenants included.
pub(super) fn write(
    transaction: &mut Transaction<'_>,
    plan: &Plan,
    progress: &mut Progress,
) -> Result<u64, Error> {
    progress.step("tenants");
    let mut rows = tenants(transaction, plan)?;
    for table in Table::ALL {
        let (name, columns, row): (_, _, fn(&mut Desk<'_>, &mut Lines)) = match table {
            Table::Contacts => ("contacts", "id, tenant_id, is_test_data, created_at, created_date", contact),
            Table::Accounts => {
                ("accounts", "id, tenant_id, name, is_test_data, created_at, created_date", account)
            }
            Table::Leads => (
                "leads",
                "id, tenant_id, first_name, last_name, company, email, phone, status, source, is_test_data, \
                 assigned_to, created_at, created_date, updated_at",
                lead,
            ),
            Table::Opportunities => (
                "opportunities",
                "id, tenant_id, name, stage, amount, probability, is_test_data, assigned_to, created_at, \
                 created_date, updated_at",
                opportunity,
            ),
            Table::Activities => (
                "activities",
                "id, tenant_id, type, subject, status, assigned_to, is_test_data, created_at, created_date",
                activity,
            ),
        };
        progress.step(name);
        let mut copy = Copy::start(transaction, name, columns)?;
        for (rank, tenant) in plan.tenants.iter().enumerate() {
            let calendar = Calendar { today: plan.today, age_days: tenant.age_days };
            let rng = plan.stream(rank, table);
            let mut desk = Desk { tenant, tenant_id: Some(&tenant.id), calendar, rng };
            for place in 0..tenant.rows(table) {
                // Two rows of the largest tenant have lost it, where the CRM allows that.
                let lost = rank == 0 && place < 2 && table != Table::Leads;
                desk.tenant_id = (!lost).then_some(tenant.id.as_str());
                copy.row(|fields| row(&mut desk, fields))?;
                progress.row();
            }
        }
        rows += copy.finish()?;
    }
    Ok(rows)
}

fn tenants(transaction: &mut Transaction<'_>, plan: &Plan) -> Result<u64, Error> {
    let mut copy = Copy::start(transaction, "tenant", "id, tenant_id, name, status")?;
    for tenant in &plan.tenants {
        copy.row(|fields| {
            fields.text(&*tenant.id).text(&*tenant.slug).text(&*tenant.name).text(tenant.status);
        })?;
    }
    copy.finish()
}

fn contact(desk: &mut Desk<'_>, fields: &mut Lines) {
    let id = uuid(&mut desk.rng);
    let (at, date, _) = desk.created();
    fields.text(&*id).text(desk.tenant_id).plain(people::is_test_data(&mut desk.rng)).moment(at).moment(date);
}

fn account(desk: &mut Desk<'_>, fields: &mut Lines) {
    let id = uuid(&mut desk.rng);
    let name = words::company(&mut desk.rng);
    let (at, date, _) = desk.created();
    fields.text(&*id).text(desk.tenant_id).text(&*name);
    fields.plain(people::is_test_data(&mut desk.rng)).moment(at).moment(date);
}

fn lead(desk: &mut Desk<'_>, fields: &mut Lines) {
    let id = uuid(&mut desk.rng);
    let (at, date, moment) = desk.created();
    let updated = desk.updated(moment);
    let age = desk.calendar.age(moment);
    let rng = &mut desk.rng;
    let (first, last) = words::person(rng);
    let company = words::company(rng);
    let email = (!rng.random_bool(0.04)).then(|| words::email(first, last, &company));
    let phone = (!rng.random_bool(0.25)).then(|| words::phone(rng));
    // Forms ask for a name and get half of one.
    let first = (!rng.random_bool(0.02)).then_some(first);
    let company = (!rng.random_bool(0.06)).then_some(company);
    fields.text(&*id).text(desk.tenant_id).text(first).text(last);
    fields.text(company.as_deref()).text(email.as_deref()).text(phone.as_deref());
    fields.text(people::lead_status(rng, age)).text(people::source(rng)).plain(people::is_test_data(rng));
    fields.text(people::assignee(rng, &desk.tenant.team)).moment(at).moment(date).moment(updated);
}

fn opportunity(desk: &mut Desk<'_>, fields: &mut Lines) {
    let id = uuid(&mut desk.rng);
    let (at, date, moment) = desk.created();
    let updated = desk.updated(moment);
    let age = desk.calendar.age(moment);
    let rng = &mut desk.rng;
    let name = format!("{}: {}", words::company(rng), words::deal(rng));
    let (stage, probability) = people::stage(rng, age);
    let amount = people::amount_cents(rng).map(|cents| format!("{}.{:02}", cents / 100, cents % 100));
    fields.text(&*id).text(desk.tenant_id).text(&*name).text(stage).plain(amount).plain(probability);
    fields.plain(people::is_test_data(rng)).text(people::assignee(rng, &desk.tenant.team));
    fields.moment(at).moment(date).moment(updated);
}

fn activity(desk: &mut Desk<'_>, fields: &mut Lines) {
    let id = uuid(&mut desk.rng);
    let (at, date, moment) = desk.created();
    let age = desk.calendar.age(moment);
    let rng = &mut desk.rng;
    let kind = people::activity_type(rng);
    let subject = (!rng.random_bool(0.02)).then(|| words::subject(rng));
    // People by their id, agents by their name: the column is text.
    let assignee =
        if rng.random_bool(0.1) { Some("agent:outreach") } else { people::assignee(rng, &desk.tenant.team) };
    fields.text(&*id).text(desk.tenant_id).text(kind).text(subject).text(people::activity_status(rng, age));
    fields.text(assignee).plain(people::is_test_data(rng)).moment(at).moment(date);
}
