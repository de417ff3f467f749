//! Who may do what: every kind of token against every action, each cell by hand.

use serde_json::json;

use crate::auth::{Principal, Scope};
use crate::error::ApiError;
use crate::tenant::Tenant;

fn who(tenant: Option<&str>, role: Option<&str>) -> Principal {
    Principal::new(tenant.map(name), role.map(str::to_owned), None)
}

fn name(text: &str) -> Tenant {
    Tenant::parse(text).unwrap()
}

const ALL: &str = "SUPERADMIN_GLOBAL";

/// tenant_id, role; read own, read other, read all; list; clear own, clear other, clear all's, clear everything;
/// execute own, execute other, execute all's, execute unnamed; operate. `own` is the tenant `a`.
#[rustfmt::skip]
const WHO_MAY_WHAT: &[(Option<&str>, Option<&str>, &str)] = &[
    //                                  read    list  clear    execute  operate
    (None,      None,                  "- - -   -     - - - -  - - - -  -"),
    (Some("a"), None,                  "y - -   a     - - - -  - - - -  -"),
    (Some(ALL), None,                  "- - -   -     - - - -  - - - -  -"),
    (None,      Some("user"),          "- - -   -     - - - -  - - - -  -"),
    (Some("a"), Some("user"),          "y - -   a     - - - -  - - - -  -"),
    (Some("a"), Some(""),              "y - -   a     - - - -  - - - -  -"),
    (Some("a"), Some("Admin"),         "y - -   a     - - - -  - - - -  -"),
    (Some("a"), Some("SUPERADMIN"),    "y - -   a     - - - -  - - - -  -"),
    (Some("a"), Some("superadmin "),   "y - -   a     - - - -  - - - -  -"),
    (Some("a"), Some("admin,superadmin"), "y - - a     - - - -  - - - -  -"),
    (None,      Some("admin"),         "- - -   -     - - - -  - - - -  -"),
    (Some("a"), Some("admin"),         "y - -   a     y - - -  a - - a  -"),
    (Some(ALL), Some("admin"),         "- - -   -     - - - -  - - - -  -"),
    (None,      Some("superadmin"),    "y y y   *     y y y y  a b g *  y"),
    (Some("a"), Some("superadmin"),    "y y y   *     y y y y  a b g *  y"),
    (Some("b"), Some("superadmin"),    "y y y   *     y y y y  a b g *  y"),
    (Some(ALL), Some("superadmin"),    "y y y   *     y y y y  a b g *  y"),
];

fn yes(answer: Result<(), ApiError>) -> String {
    cell(answer.map(|()| "y".to_owned()))
}

fn scope(answer: Result<Scope, ApiError>) -> String {
    cell(answer.map(|scope| match scope {
        Scope::All => "*".to_owned(),
        Scope::One(tenant) if tenant.is_all_tenants() => "g".to_owned(),
        Scope::One(tenant) => tenant.to_string(),
    }))
}

fn cell(answer: Result<String, ApiError>) -> String {
    answer.unwrap_or_else(|error| {
        assert_eq!((error.status().as_u16(), error.code()), (403, "forbidden"));
        "-".to_owned()
    })
}

#[test]
fn each_may_do_what_the_table_says_and_nothing_else() {
    let (a, b, all) = (name("a"), name("b"), name(ALL));
    for (tenant, role, expected) in WHO_MAY_WHAT {
        let who = who(*tenant, *role);
        let actual = [
            yes(who.may_read(&a)),
            yes(who.may_read(&b)),
            yes(who.may_read(&all)),
            scope(who.may_list()),
            yes(who.may_clear(Some(&a))),
            yes(who.may_clear(Some(&b))),
            yes(who.may_clear(Some(&all))),
            yes(who.may_clear(None)),
            scope(who.may_execute(Some(&a))),
            scope(who.may_execute(Some(&b))),
            scope(who.may_execute(Some(&all))),
            scope(who.may_execute(None)),
            yes(who.may_operate()),
        ];
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(actual.as_slice(), expected, "tenant_id {tenant:?}, role {role:?}");
    }
}

#[test]
fn permissions_say_in_short_what_the_table_says() {
    let may = |tenant, role| serde_json::to_value(who(tenant, role).permissions()).unwrap();
    let nothing =
        json!({"read_all": false, "clear": false, "clear_all": false, "execute": false, "operate": false});
    let admin =
        json!({"read_all": false, "clear": true, "clear_all": false, "execute": true, "operate": false});
    let everything =
        json!({"read_all": true, "clear": true, "clear_all": true, "execute": true, "operate": true});
    assert_eq!(may(Some("a"), None), nothing);
    assert_eq!(may(None, Some("admin")), nothing);
    assert_eq!(may(Some(ALL), Some("admin")), nothing);
    assert_eq!(may(Some("a"), Some("admin")), admin);
    assert_eq!(may(None, Some("superadmin")), everything);
    assert_eq!(serde_json::to_value(Principal::everybody().permissions()).unwrap(), everything);
}

#[test]
fn a_refusal_says_what_is_needed_and_is_the_same_for_tenants_that_exist_or_not() {
    let admin = who(Some("a"), Some("admin"));
    for error in [
        admin.may_read(&name("b")).unwrap_err(),
        admin.may_clear(Some(&name("b"))).unwrap_err(),
        admin.may_execute(Some(&name("b"))).unwrap_err(),
        admin.may_clear(None).unwrap_err(),
        admin.may_operate().unwrap_err(),
        who(None, None).may_list().unwrap_err(),
    ] {
        assert!(error.message().contains("the role superadmin"), "{}", error.message());
        assert!(!error.message().contains("'b'"), "{}", error.message());
    }
    let reader = who(Some("a"), None);
    assert!(
        reader.may_clear(Some(&name("a"))).unwrap_err().message().contains("the role admin or superadmin")
    );
    assert!(who(None, Some("admin")).may_execute(None).unwrap_err().message().contains("tenant_id"));
}
