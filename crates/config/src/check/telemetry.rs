//! `[telemetry]`.

use lychgate_gateway::path::PathPattern;

use crate::code::Code;
use crate::config::{AccessLog, LogFormat, LogLevel, LogOutput, Telemetry, UserFields};
use crate::context::{Context, Text};
use crate::grammar::{ACCESS_LOG, AUDIT_LOG, LOG};
use crate::problem::Problem;
use crate::reader::Reader;

pub(super) fn read(reader: &Reader<'_>) -> Telemetry {
    let log = reader.table_or_default("log", "telemetry.log", &LOG);
    let access = reader.table_or_default("access_log", "telemetry.access_log", &ACCESS_LOG);
    let audit = reader.table_or_default("audit_log", "telemetry.audit_log", &AUDIT_LOG);
    // One form each; the keys are there to say so.
    access.word("format", (), &[("json", ())]);
    audit.word("schema", (), &[("ecs", ())]);
    let paths = access.texts("exclude_paths").unwrap_or_default();
    let name = access.name("exclude_paths");
    Telemetry {
        log_level: log.word(
            "level",
            LogLevel::Info,
            &[
                ("error", LogLevel::Error),
                ("warn", LogLevel::Warn),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
                ("trace", LogLevel::Trace),
            ],
        ),
        log_format: log.word(
            "format",
            LogFormat::Auto,
            &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)],
        ),
        access_log: AccessLog {
            output: output(&access),
            exclude_paths: paths
                .iter()
                .filter_map(|text| path_pattern(reader.context, text, &name))
                .collect(),
        },
        audit_log: output(&audit),
        user_fields: reader.word(
            "user_fields",
            UserFields::Hashed,
            &[
                ("plain", UserFields::Plain),
                ("hashed", UserFields::Hashed),
                ("none", UserFields::None),
            ],
        ),
    }
}

/// A word, or a path. A path has a slash in it, so that a misspelt word is never a file.
fn output(reader: &Reader<'_>) -> LogOutput {
    let Some(text) = reader.words("output") else { return LogOutput::Stdout };
    match text.value.as_str() {
        "stdout" => LogOutput::Stdout,
        "stderr" => LogOutput::Stderr,
        "none" => LogOutput::None,
        path if path.contains('/') => LogOutput::File(reader.context.files.path(&text.place, path)),
        _ => {
            let words = ["stdout", "stderr", "none", "/var/log/lychgate/log.jsonl"];
            reader.none_of(&text, &reader.name("output"), words.into_iter());
            LogOutput::Stdout
        }
    }
}

/// A pattern of paths (C-72).
pub(super) fn path_pattern(context: &Context<'_>, text: &Text, name: &str) -> Option<PathPattern> {
    match PathPattern::parse(&text.value) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let problem =
                Problem::new(Code::E0122, &text.place, format!("`{name}` is no pattern of paths"));
            context.add(problem.label(error.to_string()));
            None
        }
    }
}
