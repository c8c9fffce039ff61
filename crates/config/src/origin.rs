//! Where everything in the document stands, by its name in full: `routes.kibana.rules[0].allow[1]`.

use std::collections::BTreeMap;

use crate::file::{Files, Position};
use crate::tree::{Node, Table, Value};

/// The places of all keys and entries.
pub(crate) fn origins(table: &Table, files: &Files) -> BTreeMap<String, Position> {
    let mut origins = BTreeMap::new();
    of_table(&mut origins, table, "", files);
    origins
}

fn of_table(origins: &mut BTreeMap<String, Position>, table: &Table, path: &str, files: &Files) {
    for entry in &table.0 {
        let name =
            if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        of_node(origins, &entry.node, &name, files);
        origins.insert(name, files.position(&entry.key_place));
    }
}

fn of_node(origins: &mut BTreeMap<String, Position>, node: &Node, path: &str, files: &Files) {
    match &node.value {
        Value::Table(table) => of_table(origins, table, path, files),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = format!("{path}[{index}]");
                of_node(origins, item, &name, files);
                origins.insert(name, files.position(&item.place));
            }
        }
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Text(_) => {}
    }
}
