//! The vocabulary: names of companies, people and deals. Words only; nothing here knows of a table.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

const FIRST_NAMES: &[&str] = &[
    "Ada",
    "Aisha",
    "Alejandro",
    "Amara",
    "Anna",
    "Arjun",
    "Beatriz",
    "Ben",
    "Camille",
    "Carlos",
    "Chen",
    "Chloe",
    "Daniel",
    "Elena",
    "Emeka",
    "Emma",
    "Fatima",
    "Felix",
    "Grace",
    "Hana",
    "Hugo",
    "Ingrid",
    "Isabel",
    "Ivan",
    "Jamal",
    "Jana",
    "Joao",
    "Kai",
    "Katarina",
    "Kwame",
    "Lars",
    "Leila",
    "Lucas",
    "Mai",
    "Marek",
    "Maria",
    "Mateo",
    "Mei",
    "Mohammed",
    "Nadia",
    "Noah",
    "Olga",
    "Omar",
    "Priya",
    "Rafael",
    "Rosa",
    "Sanjay",
    "Sofia",
    "Tomas",
    "Yuki",
];

const LAST_NAMES: &[&str] = &[
    "Abebe",
    "Andersen",
    "Bauer",
    "Brown",
    "Chen",
    "Costa",
    "Diaz",
    "Dubois",
    "Eriksson",
    "Fernandez",
    "Fischer",
    "Garcia",
    "Gupta",
    "Haddad",
    "Hansen",
    "Ito",
    "Ivanov",
    "Jansen",
    "Johnson",
    "Kim",
    "Kowalski",
    "Larsen",
    "Lee",
    "Lopez",
    "Martin",
    "Mensah",
    "Meyer",
    "Moreau",
    "Murphy",
    "Nakamura",
    "Ng",
    "Novak",
    "O'Brien",
    "Okafor",
    "Park",
    "Patel",
    "Popescu",
    "Ricci",
    "Rossi",
    "Santos",
    "Schmidt",
    "Silva",
    "Singh",
    "Smith",
    "Suzuki",
    "Tanaka",
    "Vasquez",
    "Wang",
    "Weber",
    "Zhang",
];

const COMPANY_HEADS: &[&str] = &[
    "Alder",
    "Amber",
    "Arc",
    "Aspen",
    "Atlas",
    "Beacon",
    "Blue Harbor",
    "Bright",
    "Cedar",
    "Cobalt",
    "Copper",
    "Crescent",
    "Delta",
    "Echo",
    "Ember",
    "Evergreen",
    "Falcon",
    "Fjord",
    "Granite",
    "Harbor",
    "Horizon",
    "Indigo",
    "Juniper",
    "Keystone",
    "Lakeside",
    "Lumen",
    "Maple",
    "Meridian",
    "Mosaic",
    "Nimbus",
    "North Star",
    "Oak",
    "Onyx",
    "Orchard",
    "Pioneer",
    "Quartz",
    "Ridge",
    "Riverbend",
    "Sable",
    "Sierra",
    "Summit",
    "Tidal",
    "Union",
    "Vertex",
    "Willow",
];

const COMPANY_TAILS: &[&str] = &[
    "Analytics",
    "Automation",
    "Bakery Group",
    "Capital",
    "Clinics",
    "Construction",
    "Consulting",
    "Dental",
    "Design",
    "Education",
    "Energy",
    "Engineering",
    "Farms",
    "Foods",
    "Freight",
    "Health",
    "Hospitality",
    "Insurance",
    "Labs",
    "Legal",
    "Logistics",
    "Manufacturing",
    "Media",
    "Motors",
    "Partners",
    "Pharma",
    "Properties",
    "Realty",
    "Robotics",
    "Security",
    "Software",
    "Solar",
    "Staffing",
    "Systems",
    "Textiles",
    "Travel",
];

const COMPANY_FORMS: &[&str] = &["", "", "", " Inc.", " GmbH", " Ltd", " LLC", " S.A.", " & Co."];

const DEALS: &[&str] = &[
    "annual licence",
    "branch rollout",
    "expansion",
    "fleet upgrade",
    "implementation",
    "maintenance contract",
    "migration",
    "new site",
    "onboarding package",
    "pilot",
    "platform subscription",
    "renewal",
    "retainer",
    "second phase",
    "security audit",
    "seats",
    "starter package",
    "support plan",
    "training days",
    "volume order",
];

const SUBJECTS: &[&str] = &[
    "Follow up on the proposal",
    "Intro call",
    "Send the price list",
    "Demo of the reporting module",
    "Contract review",
    "Check in after the trial",
    "Quarterly review",
    "Renewal reminder",
    "Invite to the webinar",
    "Answer the security questionnaire",
    "Clarify the scope",
    "Introduce to support",
    "Discuss the discount",
    "Collect requirements",
    "Plan the kick-off",
    "Ask for a reference",
    "Prepare the offer",
    "Site visit",
];

fn one<'a>(rng: &mut ChaCha8Rng, words: &[&'a str]) -> &'a str {
    words.choose(rng).copied().unwrap_or_default()
}

/// The name of a company, of some 14,000 that exist.
pub(super) fn company(rng: &mut ChaCha8Rng) -> String {
    format!("{} {}{}", one(rng, COMPANY_HEADS), one(rng, COMPANY_TAILS), one(rng, COMPANY_FORMS))
}

/// A first and a last name.
pub(super) fn person(rng: &mut ChaCha8Rng) -> (&'static str, &'static str) {
    (one(rng, FIRST_NAMES), one(rng, LAST_NAMES))
}

/// What a deal is about.
pub(super) fn deal(rng: &mut ChaCha8Rng) -> &'static str {
    one(rng, DEALS)
}

/// What an activity is about.
pub(super) fn subject(rng: &mut ChaCha8Rng) -> &'static str {
    one(rng, SUBJECTS)
}

/// A number of the range that is reserved for fiction.
pub(super) fn phone(rng: &mut ChaCha8Rng) -> String {
    format!("+1-{}-555-{:04}", rng.random_range(201..990), rng.random_range(100..200))
}

/// Lower case, words joined by a dash.
pub(super) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

/// An address that cannot exist, and names who it would belong to.
pub(super) fn email(first: &str, last: &str, company: &str) -> String {
    format!("{}.{}@{}.example", slug(first), slug(last), slug(company))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_and_cannot_exist() {
        assert_eq!(
            email("Ada", "O'Brien", "Blue Harbor Bakery Group & Co."),
            "ada.o-brien@blue-harbor-bakery-group-co.example"
        );
    }
}
