//! A headless Chromium that a test looks at pages with, driven over the WebDriver protocol.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::{ParseError, Url};

use crate::artefacts::Artefacts;
use crate::http::{Endpoint, http};
use crate::process::{Process, free_port};

pub use fantoccini::key::Key;

/// Nothing but the page: no requests of the browser's own, and no dialogue that waits for somebody.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    // Through a pipe instead of a port: a browser whose driver is gone finds it closed and ends.
    "--remote-debugging-pipe",
];

/// A line of the console, or what the browser itself has to say about the page.
#[derive(Clone, Debug)]
pub struct ConsoleLine {
    /// `SEVERE`, `WARNING`, `INFO` or `DEBUG`.
    pub level: String,
    /// Who says it: `console-api`, `javascript`, `security`, `network` …
    pub source: String,
    /// What is said, behind the place in a script.
    pub message: String,
}

/// A browser with one page; ended when dropped.
pub struct Browser {
    client: Option<Client>,
    runtime: Runtime,
    console: Mutex<Vec<ConsoleLine>>,
    _driver: Process,
    _directory: TempDir,
}

impl Browser {
    /// Starts a driver and a browser, which share nothing with those of other tests.
    pub fn start() -> Self {
        let directory = TempDir::with_prefix("dashboard-browser-").expect("a temporary directory");
        let port = free_port();
        let log = directory.path().join("chromedriver.log");
        let mut driver = Process::start("chromedriver", Path::new("chromedriver"), &log, |command| {
            // Times are shown in the reader's own zone and language: the same on every machine.
            let home = directory.path();
            command.arg(format!("--port={port}")).env("TZ", "UTC").env("LANGUAGE", "en_US").env("HOME", home);
        });
        let endpoint = Endpoint::Tcp(format!("127.0.0.1:{port}"));
        driver.wait_ready(|| http(&endpoint, "GET", "/status", None, b"").is_ok());

        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|&argument| argument.to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", directory.path().join("profile").display()));
        if rustix::process::geteuid().is_root() {
            // Chromium's sandbox needs a user that it can take rights from.
            arguments.push("--no-sandbox".to_owned());
        }
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        });
        let capabilities = capabilities.as_object().expect("it is one").clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = runtime
            .block_on(
                ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
                    .capabilities(capabilities)
                    .connect(&format!("http://127.0.0.1:{port}")),
            )
            .unwrap_or_else(|e| panic!("chromium does not start: {e}\n{}", driver.log()));
        let console = Mutex::default();
        Self { client: Some(client), runtime, console, _driver: driver, _directory: directory }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is there until this is dropped")
    }

    /// Opens an address and waits until it has been loaded.
    pub fn open(&self, address: &str) {
        self.runtime.block_on(self.client().goto(address)).unwrap_or_else(|e| panic!("{address}: {e}"));
    }

    /// One step back in the history.
    pub fn back(&self) {
        self.runtime.block_on(self.client().back()).expect("there is a page to go back to");
    }

    /// The address of the page, as the address bar has it.
    pub fn address(&self) -> String {
        // Not the driver's own: it waits for a navigation to end.
        self.run("return location.href", &[]).as_str().expect("an address is text").to_owned()
    }

    /// What a script returns.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.runtime
            .block_on(self.client().execute(script, arguments.to_vec()))
            .unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// The text that is seen of the first element that a selector finds; empty if there is none.
    pub fn text(&self, selector: &str) -> String {
        let text =
            self.run("return document.querySelector(arguments[0])?.innerText ?? ''", &[selector.into()]);
        text.as_str().unwrap_or_default().trim().to_owned()
    }

    /// Whether anything that a selector finds takes up room on the page.
    pub fn sees(&self, selector: &str) -> bool {
        let script =
            "return [...document.querySelectorAll(arguments[0])].some((e) => e.getClientRects().length > 0)";
        self.run(script, &[selector.into()]) == true
    }

    /// Scrolls to the first element that a selector finds and presses it, as a mouse does: where something covers it,
    /// this fails.
    pub fn click(&self, selector: &str) {
        let scroll =
            "document.querySelector(arguments[0])?.scrollIntoView({ block: 'center', behavior: 'instant' })";
        self.run(scroll, &[selector.into()]);
        let pressed =
            self.runtime.block_on(async { self.client().find(Locator::Css(selector)).await?.click().await });
        pressed.unwrap_or_else(|e| panic!("{selector}: {e}"));
    }

    /// Types a text where the focus is, key by key.
    pub fn keys(&self, text: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in text.chars() {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.runtime.block_on(self.client().perform_actions(actions)).expect("keys are pressed");
    }

    /// Presses a key that is no character.
    pub fn key(&self, key: Key) {
        self.keys(&char::from(key).to_string());
    }

    /// The size of the page's window in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// What the system asks for: `light` or `dark`, and whether things may move.
    pub fn prefer(&self, scheme: &str, is_still: bool) {
        let motion = if is_still { "reduce" } else { "no-preference" };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": motion },
        ] });
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Keeps a picture of the whole page as `target/screenshots/<name>.png`.
    pub fn screenshot(&self, name: &str) {
        let size = self.run("return [innerWidth, innerHeight, document.documentElement.scrollHeight]", &[]);
        let number = |index: usize| size[index].as_u64().and_then(|n| u32::try_from(n).ok()).expect("a size");
        // The driver's picture is of what the window shows, so the window becomes as high as the page.
        self.resize(number(0), number(1).max(number(2)));
        let image = self.runtime.block_on(self.client().screenshot()).expect("a picture");
        self.resize(number(0), number(1));
        let directory = screenshots();
        fs::create_dir_all(&directory).expect("a directory for pictures");
        fs::write(directory.join(format!("{name}.png")), image).expect("the picture is written");
    }

    /// Everything that the console has shown since the browser was started.
    pub fn console(&self) -> Vec<ConsoleLine> {
        let fresh = self.command("/se/log", json!({ "type": "browser" }));
        let text = |line: &Value, member: &str| line[member].as_str().unwrap_or_default().to_owned();
        let mut lines = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend(fresh.as_array().expect("lines").iter().map(|line| ConsoleLine {
            level: text(line, "level"),
            source: text(line, "source"),
            message: text(line, "message"),
        }));
        lines.clone()
    }

    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("/goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    fn command(&self, path: &'static str, body: Value) -> Value {
        self.runtime
            .block_on(self.client().issue_cmd(Vendor { path, body }))
            .unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // One that does not answer any more ends with its driver.
            let _ = self.runtime.block_on(client.close());
        }
    }
}

/// Where pictures are kept.
pub fn screenshots() -> PathBuf {
    let profile = Artefacts::get().sidecar.parent().expect("a binary lies in a directory");
    profile.parent().expect("the profile's directory lies in the target directory").join("screenshots")
}

/// A command that this driver has beyond the standard.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
