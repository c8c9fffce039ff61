//! Every page in every language, light and dark, looked at by axe-core in a real browser (P-01, P-06, P-09).
//!
//! `lychgate pages preview` serves them, so that none has to be brought about. The pages that say a reason and no more
//! are all made by one template and differ in their words only; each is looked at in one language and one scheme, so
//! that all languages and schemes have their turn.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use lychgate_tests::cast::browser::{Browser, Colors, Habits, Outcome, Page};
use lychgate_tests::cast::gate::binary;
use lychgate_tests::cast::scratch::Scratch;

/// The narrowest window that WCAG 2.2 asks for (1.4.10).
const NARROW: u32 = 320;

/// A running `lychgate pages preview`.
struct Preview {
    child: Child,
    url: String,
}

impl Preview {
    fn start(scratch: &Scratch, more: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["pages", "preview", "--address", "127.0.0.1:0"])
            .args(more)
            .current_dir(scratch.path())
            .env_remove("LYCHGATE_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it prints its address");
        let url = line.trim().strip_prefix("every page: ").expect("an address").to_owned();
        Self { child, url }
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells a story with a browser of its own.
fn tell(story: impl AsyncFnOnce(Page) -> Outcome<()>) -> Outcome<()> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    runtime.block_on(async {
        let browser = Browser::start(&[]).await;
        let person = browser.person(&Habits::default()).await?;
        story(person.open_tab().await?).await
    })
}

/// The addresses of all pages.
async fn addresses(page: &Page, preview: &Preview) -> Outcome<Vec<String>> {
    page.goto(&preview.url).await?;
    page.evaluate("[...document.querySelectorAll('main a')].map((link) => link.href)").await
}

/// P-01, P-06: no rule of WCAG 2.2 AA is broken, words run the way they are read, and nothing scrolls sideways.
#[test]
fn every_page_in_every_language_is_accessible() -> Outcome<()> {
    let scratch = Scratch::new();
    let preview = Preview::start(&scratch, &[]);
    tell(async |page| {
        let addresses = addresses(&page, &preview).await?;
        assert!(addresses.len() >= 180, "{}", addresses.len());
        let mut objections = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            let schemes: &[Colors] = match (address.contains("/reason-"), index % 3, index / 3 % 3)
            {
                (true, 0, 0) | (true, 1, 1) | (true, 2, 2) => match index / 9 % 2 {
                    0 => &[Colors::Light],
                    _ => &[Colors::Dark],
                },
                (true, _, _) => continue,
                (false, _, _) => &[Colors::Light, Colors::Dark],
            };
            page.goto(address).await?;
            for colors in schemes {
                page.prefer(*colors).await?;
                let found = page.axe().await?;
                objections
                    .extend(found.into_iter().map(|it| format!("{address} {colors:?}: {it}")));
            }
        }
        assert_eq!(objections, [""; 0]);
        Ok(())
    })
}

/// P-01: at 320 pixels nothing scrolls sideways, and every link and button is reached and seen by keyboard, in the order
/// in which it is read; from right to left too.
#[test]
fn every_kind_of_page_is_usable_narrow_and_by_keyboard() -> Outcome<()> {
    let scratch = Scratch::new();
    let preview = Preview::start(&scratch, &[]);
    tell(async |page| {
        page.resize(NARROW, 640).await?;
        for address in addresses(&page, &preview).await? {
            if address.contains("/reason-") {
                continue;
            }
            page.goto(&address).await?;
            let (width, focusable, direction, rtl): (u32, usize, String, bool) = page
                .evaluate(
                    "[document.documentElement.scrollWidth, document.querySelectorAll('a, button').length,
                      getComputedStyle(document.body).direction, document.documentElement.lang === 'ar']",
                )
                .await?;
            assert!(width <= NARROW, "{address} scrolls sideways: {width}");
            assert_eq!(direction, if rtl { "rtl" } else { "ltr" }, "{address}");
            for number in 0..focusable {
                page.press("Tab").await?;
                let seen: (usize, String) = page
                    .evaluate(
                        "[[...document.querySelectorAll('a, button')].indexOf(document.activeElement),
                          getComputedStyle(document.activeElement).outlineStyle]",
                    )
                    .await?;
                assert_eq!(seen, (number, "solid".to_owned()), "{address}");
            }
        }
        Ok(())
    })
}

/// P-09: what the operator writes is seen at once, and so is a mistake.
#[test]
fn the_preview_shows_the_operators_own_pages_and_their_mistakes() -> Outcome<()> {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.file("pages")).expect("a directory");
    let preview = Preview::start(&scratch, &["--templates", "pages"]);
    tell(async |page| {
        scratch.write("pages/style.css", "h1 { color: rgb(1, 2, 3); }");
        page.goto(&format!("{}en/signed-out", preview.url)).await?;
        let color: String =
            page.evaluate("getComputedStyle(document.querySelector('h1')).color").await?;
        assert_eq!(color, "rgb(1, 2, 3)");

        scratch.write("pages/signed_out.html", "<p>Bye</p>");
        let landing = page.goto(&format!("{}en/signed-out", preview.url)).await?;
        let text = page.text("body").await?;
        assert_eq!(landing.status, Some(500));
        assert!(
            text.contains("signed-out") && text.contains("does not show the request id"),
            "{text}"
        );
        Ok(())
    })
}
