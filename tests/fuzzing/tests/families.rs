//! The files of hostile lines are what the families make.

use std::{env, fs, path::Path};

use lychgate_fuzzing::families::Family;
use lychgate_fuzzing::lines;

/// Somebody who adds to a family adds to the file, and nobody changes the file alone.
#[test]
fn every_file_of_hostile_lines_is_what_its_families_make() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/hostile");
    for family in Family::ALL {
        let generated = family.generated();
        let file = directory.join(family.file_name());
        if env::var_os("LYCHGATE_WRITE_FIXTURES").is_some() {
            fs::write(&file, &generated).expect("the file can be written");
            continue;
        }
        let committed = fs::read_to_string(&file).expect("the file is there");
        assert!(
            committed == generated,
            "{} is not what its families make; write it with `LYCHGATE_WRITE_FIXTURES=1 cargo test -p \
             lychgate-fuzzing --test families`",
            file.display()
        );
    }
}

/// A line of its own for everything, and bytes by their names.
#[test]
fn a_line_says_which_bytes_it_stands_for() {
    let text = "# A comment.\n#x\n\n/<TAB>/<script><CR><LF>\u{e9}<FF>\n";
    let found: Vec<_> = lines(text).collect();
    assert_eq!(found, [&b"#x"[..], b"", b"/\t/<script>\r\n\xc3\xa9\xff"]);
}

#[test]
fn there_are_hundreds_of_lines() {
    for (family, least) in [
        (Family::Forwarded, 300),
        (Family::HeaderNames, 300),
        (Family::Messages, 150),
        (Family::Paths, 900),
        (Family::ReturnTo, 500),
    ] {
        let count = lines(family.committed()).count();
        assert!(count >= least, "{} has {count} lines", family.file_name());
    }
}
