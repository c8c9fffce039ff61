//! What pages say in one language: a file of texts, which is complete or is not used.
//!
//! Placeholders stand in braces, the same in every language. Numbers come with a word in the form that the language has
//! for them: `one`, `two`, `few` (3 to 10 of a hundred), `many` (11 to 99) and `other`, which is also for the forms that
//! a file does not have. That is what Arabic needs, and more than most. The titles and sentences of reasons in English
//! are those of the vocabulary itself.
//!
//! Sources: BCP 47; CLDR plural rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lychgate_gateway::reason::Reason;
use serde::Deserialize;

/// The languages that the program speaks by itself. The first is the measure of the others.
const BUILT_IN: [(&str, &str); 3] = [
    ("en", include_str!("../../pages/languages/en.toml")),
    ("de", include_str!("../../pages/languages/de.toml")),
    ("ar", include_str!("../../pages/languages/ar.toml")),
];

/// The texts of one language.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    pub(crate) tag: String,
    pub(crate) direction: Direction,
    texts: BTreeMap<String, String>,
    units: BTreeMap<String, Forms>,
    reasons: BTreeMap<String, (String, String)>,
}

/// How a language is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Ltr,
    Rtl,
}

impl Direction {
    /// As in HTML.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ltr => "ltr",
            Self::Rtl => "rtl",
        }
    }
}

/// A word beside a number.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Forms {
    one: Option<String>,
    two: Option<String>,
    few: Option<String>,
    many: Option<String>,
    other: String,
}

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    direction: Direction,
    text: BTreeMap<String, String>,
    units: BTreeMap<String, Forms>,
    #[serde(default)]
    reasons: BTreeMap<String, (String, String)>,
}

/// Why a file of texts cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogueError {
    #[error("it is no file of texts: {0}")]
    Form(#[from] toml::de::Error),
    #[error("it lacks {}", .0.join(", "))]
    Lacks(Vec<String>),
    #[error("nobody reads {}", .0.join(", "))]
    Unknown(Vec<String>),
    #[error("it has other placeholders than the English text in {}", .0.join(", "))]
    Placeholders(Vec<String>),
}

impl Catalogue {
    /// Those of the program itself.
    pub(crate) fn built_in() -> Vec<Self> {
        // A test reads each of them, and holds it to the first.
        BUILT_IN.iter().filter_map(|(tag, text)| Self::parse(tag, text).ok()).collect()
    }

    fn parse(tag: &str, text: &str) -> Result<Self, toml::de::Error> {
        let Written { direction, text, units, reasons } = toml::from_str(text)?;
        Ok(Self { tag: tag.to_owned(), direction, texts: text, units, reasons })
    }

    /// Reads a file of texts in the language `tag`, and holds it to the English one.
    ///
    /// # Errors
    /// [`CatalogueError`], with all that is missing or too much.
    pub(crate) fn read(tag: &str, text: &str) -> Result<Self, CatalogueError> {
        let read = Self::parse(tag, text)?;
        let Some((english, source)) = BUILT_IN.first() else { return Ok(read) };
        read.complete(&Self::parse(english, source)?)?;
        Ok(read)
    }

    fn complete(&self, measure: &Self) -> Result<(), CatalogueError> {
        let reasons: BTreeSet<String> = match self.tag == measure.tag && self.reasons.is_empty() {
            true => BTreeSet::new(),
            false => {
                Reason::ALL.iter().map(|reason| format!("reasons.{}", reason.code())).collect()
            }
        };
        let keys = |catalogue: &Self| -> BTreeSet<String> {
            let texts = catalogue.texts.keys().map(|key| format!("text.{key}"));
            texts.chain(catalogue.units.keys().map(|key| format!("units.{key}"))).collect()
        };
        let wanted: BTreeSet<String> = keys(measure).into_iter().chain(reasons).collect();
        let own = self.reasons.keys().map(|key| format!("reasons.{key}"));
        let given: BTreeSet<String> = keys(self).into_iter().chain(own).collect();
        let lacks: Vec<_> = wanted.difference(&given).cloned().collect();
        if !lacks.is_empty() {
            return Err(CatalogueError::Lacks(lacks));
        }
        let unknown: Vec<_> = given.difference(&wanted).cloned().collect();
        if !unknown.is_empty() {
            return Err(CatalogueError::Unknown(unknown));
        }
        let differs = |key: &&String| {
            let (own, other) = (self.texts.get(*key), measure.texts.get(*key));
            own.map(|text| placeholders(text)) != other.map(|text| placeholders(text))
        };
        let differing: Vec<_> = self.texts.keys().filter(differs).cloned().collect();
        match differing.is_empty() {
            true => Ok(()),
            false => Err(CatalogueError::Placeholders(differing)),
        }
    }

    /// The text with this key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// The title of a reason.
    pub(crate) fn title(&self, reason: Reason) -> &str {
        self.reasons.get(reason.code()).map_or_else(|| reason.title(), |(title, _)| title)
    }

    /// The sentence of a reason.
    pub(crate) fn sentence(&self, reason: Reason) -> &str {
        self.reasons.get(reason.code()).map_or_else(|| reason.sentence(), |(_, sentence)| sentence)
    }

    /// `3 hours`.
    pub(crate) fn count(&self, unit: &str, count: u64) -> String {
        let Some(forms) = self.units.get(unit) else { return count.to_string() };
        let form = match (count, count % 100) {
            (1, _) => &forms.one,
            (2, _) => &forms.two,
            (_, 3..=10) => &forms.few,
            (_, 11..=99) => &forms.many,
            (_, _) => &None,
        };
        form.as_ref().unwrap_or(&forms.other).replace("{count}", &count.to_string())
    }

    /// The larger two units: `11 hours 58 minutes`.
    pub(crate) fn duration(&self, duration: Duration) -> String {
        let minutes = duration.as_secs() / 60;
        let units =
            [("day", minutes / (60 * 24)), ("hour", minutes / 60 % 24), ("minute", minutes % 60)];
        let words: Vec<_> = units
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(unit, count)| self.count(unit, count))
            .take(2)
            .collect();
        match words.is_empty() {
            true => self.text("less_than_a_minute").unwrap_or_default().to_owned(),
            false => words.join(" "),
        }
    }
}

/// What stands in braces.
fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(tag: &str) -> Catalogue {
        Catalogue::built_in().into_iter().find(|catalogue| catalogue.tag == tag).unwrap()
    }

    /// P-06: every language says everything, in its own words.
    #[test]
    fn every_language_is_complete_and_says_nothing_in_another() {
        let english = catalogue("en");
        for (tag, text) in BUILT_IN {
            let own = Catalogue::read(tag, text).unwrap_or_else(|error| panic!("{tag}: {error}"));
            if tag == "en" {
                continue;
            }
            let same: Vec<_> = own
                .texts
                .iter()
                .filter(|(key, text)| english.texts.get(*key) == Some(*text))
                .map(|(key, _)| key.as_str())
                .collect();
            let expected: &[&str] = if tag == "de" { &["account_name"] } else { &[] };
            assert_eq!(same, expected, "{tag} repeats the English text");
            for &reason in Reason::ALL {
                assert_ne!(own.title(reason), reason.title(), "{tag}: {}", reason.code());
                assert_ne!(own.sentence(reason), reason.sentence(), "{tag}: {}", reason.code());
            }
        }
    }

    #[test]
    fn a_file_of_texts_that_is_not_complete_is_not_used() {
        let (_, german) = BUILT_IN[1];
        let read = |text: &str| Catalogue::read("fr", text).unwrap_err().to_string();

        assert_eq!(read(&german.replace("sign_out = ", "#")), "it lacks text.sign_out");
        assert_eq!(
            read(&german.replace("access_denied = ", "#")),
            "it lacks reasons.access_denied"
        );
        assert_eq!(
            read(&german.replace("[units]", "extra = \"\"\n[units]")),
            "nobody reads text.extra"
        );
        assert_eq!(
            read(&german.replace("Um {destination} zu", "Um {destnation} zu")),
            "it has other placeholders than the English text in choose"
        );
        assert!(read("direction = \"up\"").contains("it is no file of texts"));
        assert!(Catalogue::read("fr", german).is_ok());
    }

    #[test]
    fn durations_are_told_in_their_two_largest_units_and_in_the_forms_of_the_language() {
        for (seconds, english, german, arabic) in [
            (0, "less than a minute", "weniger als eine Minute", "أقل من دقيقة"),
            (60, "1 minute", "1 Minute", "دقيقة واحدة"),
            (120, "2 minutes", "2 Minuten", "دقيقتان"),
            (180, "3 minutes", "3 Minuten", "3 دقائق"),
            (43_140, "11 hours 59 minutes", "11 Stunden 59 Minuten", "11 ساعة 59 دقيقة"),
            (7 * 86_400 + 60, "7 days 1 minute", "7 Tage 1 Minute", "7 أيام دقيقة واحدة"),
            (90_061, "1 day 1 hour", "1 Tag 1 Stunde", "يوم واحد ساعة واحدة"),
            (100 * 86_400, "100 days", "100 Tage", "100 يوم"),
        ] {
            for (tag, expected) in [("en", english), ("de", german), ("ar", arabic)] {
                assert_eq!(catalogue(tag).duration(Duration::from_secs(seconds)), expected);
            }
        }
    }
}
