//! A run whose connection to Redis stays open and brings nothing any more.

use std::time::Duration;

use harness::{Relay, assert_eventually};

use super::{Crm, lines_with};

#[test]
fn a_run_whose_answer_never_comes_ends_as_failed_and_is_tried_again() {
    let crm = Crm::start();
    let relay = Relay::to(&crm.redis.socket());
    let url = format!("redis+unix://{}", relay.socket().display());
    crm.upstream.hold();
    crm.make_due();
    let sidecar = crm.builder().env("REDIS_URL", url).start();
    crm.upstream.wait_for(1);
    assert_eventually!(crm.outcome() == "running", "the run is written down");
    relay.silence_existing();
    crm.upstream.release();
    assert_eventually!(
        crm.outcome() != "running" && lines_with(&sidecar, "Redis has not said how the warming ended") > 0,
        Duration::from_secs(30),
        "the run has ended, and the log says why"
    );
    assert_eventually!(crm.outcome() == "success", "it is tried again");
    assert!(crm.warmings() >= 2);
}
