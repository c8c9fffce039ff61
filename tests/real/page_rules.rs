//! What holds of every page of ours (P-01, P-02, P-05, P-10), looked up in a real browser; and a
//! picture of each, for people to look at.

use std::fs;
use std::path::{Path, PathBuf};

use lychgate_tests::cast::browser::{Colors, Outcome, Page};
use serde::Deserialize;

/// What `page_rules.js` answers.
#[derive(Debug, Deserialize)]
struct Looks {
    title: String,
    headings: Vec<String>,
    language: String,
    landmarks: u32,
    zoom: String,
    lowest_contrast: f64,
    smallest_target: f64,
    width: u32,
    targets: u32,
    bytes: u32,
    inline: u32,
}

impl Looks {
    async fn of(page: &Page) -> Outcome<Self> {
        page.evaluate(include_str!("page_rules.js")).await
    }
}

/// The narrowest window that WCAG 2.2 asks for (1.4.10).
const NARROW: u32 = 320;

/// Checks the page that the tab shows, in light, in dark and in a narrow window, and leaves pictures
/// `target/screenshots/NAME-….png`.
pub(crate) async fn hold(page: &Page, name: &str) -> Outcome<()> {
    assert_eq!(page.axe().await?, [""; 0], "{name}");
    let text = page.text("body").await?;
    assert!(!text.to_lowercase().contains("lychgate"), "{name} names the product: {text}");
    for colors in [Colors::Light, Colors::Dark] {
        page.prefer(colors).await?;
        let looks = Looks::of(page).await?;
        page.screenshot(&picture(name, &format!("{colors:?}").to_lowercase())).await?;

        let Looks { title, headings, zoom, .. } = &looks;
        assert_eq!(headings, &[title.as_str()], "{name}: one heading, which is the title");
        assert_eq!((looks.language.as_str(), looks.landmarks), ("en", 1), "{name}");
        assert_eq!(zoom, "width=device-width, initial-scale=1", "{name}: nothing forbids to zoom");
        assert!(looks.lowest_contrast >= 4.5, "{name}, {colors:?}: {looks:?}");
        assert!(looks.smallest_target >= 24.0, "{name}: {looks:?}");
        assert!(looks.bytes <= 20 * 1024, "{name}: {looks:?}");
        assert_eq!(looks.inline, 0, "{name}: {looks:?}");
    }
    page.prefer(Colors::Light).await?;

    page.resize(NARROW, 640).await?;
    let looks = Looks::of(page).await?;
    page.screenshot(&picture(name, "narrow")).await?;
    assert!(looks.width <= NARROW, "{name} scrolls sideways: {looks:?}");
    page.resize(1280, 720).await?;

    for _ in 0..looks.targets {
        page.press("Tab").await?;
        let outline: String = page.evaluate(FOCUS).await?;
        assert_eq!(outline, "a focused link or button, solid", "{name}: focus is seen (2.4.7)");
    }
    Ok(())
}

/// What has the focus, and how that is shown.
const FOCUS: &str = "(() => {
    const focused = document.activeElement;
    const kind = focused.matches('a:focus-visible, button:focus-visible') ? 'link or button' : focused.tagName;
    return `a focused ${kind}, ${getComputedStyle(focused).outlineStyle}`;
})()";

fn picture(name: &str, variant: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder.join(format!("{name}-{variant}.png"))
}
