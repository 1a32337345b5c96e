//! Imports run one way. The tables below are the crate maps of `docs/architecture.md`; the test reads every module of a crate as the
//! compiler finds it and holds each path that begins with `crate`, `super` or the name of another crate to its table. Test modules
//! may look anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What the modules of a crate may import.
struct Layers {
    /// A module may import itself, what stands beside it, and what those may import. A submodule without a row belongs to the row of
    /// its parent. The root of a crate, which re-exports, may import everything.
    rows: &'static [(&'static str, &'static [&'static str])],
    /// Single items that a module may import besides.
    items: &'static [(&'static str, &'static str)],
}

const CKKS: Layers = Layers {
    rows: &[
        ("circuit", &["scheme"]),
        ("scheme", &["ring"]),
        ("ring", &["arith"]),
        ("arith", &["error"]),
        ("error", &[]),
    ],
    // An error carries the scales that it is about.
    items: &[("error", "scheme::Scale")],
};

const NN: Layers = Layers {
    rows: &[
        ("engine", &["session", "report", "measure", "onnx", "pass", "exec::clear"]),
        ("session", &["plan", "exec::encrypted", "data", "fingerprint", "progress"]),
        ("report", &["exec::trace", "pass", "plan"]),
        ("measure", &["exec::trace", "report", "data"]),
        ("plan", &["lower", "exec::trace", "pass"]),
        ("exec::encrypted", &["exec"]),
        ("exec::trace", &["exec"]),
        ("exec::clear", &["exec"]),
        ("exec", &["program"]),
        ("lower", &["layout", "program"]),
        ("program", &["layout"]),
        ("layout", &["graph"]),
        ("pass", &["graph", "approx"]),
        ("approx", &["error"]),
        ("onnx", &["graph", "fingerprint"]),
        ("graph", &["error"]),
        ("data", &["error"]),
        ("fingerprint", &[]),
        ("progress", &[]),
        ("error", &[]),
    ],
    // The error of the crate wraps those of the stages, and names what does not fit.
    items: &[
        ("error", "graph::Head"),
        ("error", "data::DataError"),
        ("error", "layout::LayoutError"),
        ("error", "plan::PlanError"),
        ("error", "program::ProgramError"),
        ("error", "session::SessionError"),
    ],
};

/// What every module of `nn` may take from `ckks`: descriptions, no ciphertext, no key, nothing that works on them.
const DESCRIPTIONS: &[&str] = &[
    "Error",
    "Estimate",
    "KeyRequest",
    "Ledger",
    "Modulus",
    "PRESETS",
    "Params",
    "ParamsSpec",
    "Preset",
    "Result",
    "RingKind",
    "Scale",
    "max_log_qp",
];

/// The modules of `nn` that may take more. The engine passes what the two sessions exchange from one to the other.
const OF_CIPHERTEXTS: &[&str] = &["exec::encrypted", "session", "measure", "engine"];

/// What only the data owner may hold; `measure` times it.
const SECRETS: &[&str] = &["SecretKey", "Decryptor", "KeyGenerator", "Encryptor"];

/// The modules of `nn` that may know how ONNX is read.
const OF_ONNX: &[&str] = &["onnx"];

/// The modules of `nn` that may know the timed cases.
const OF_CASES: &[&str] = &["measure"];

/// A path in a source file.
struct Import {
    place: String,
    /// Module it stands in, from the root of the crate.
    from: Vec<String>,
    /// What it names: a path from the root of the crate, or of another crate.
    to: Target,
}

enum Target {
    Own(Vec<String>),
    Other(Vec<String>),
}

/// All modules of a crate that are compiled without `cfg(test)`.
struct Sources<'a> {
    read: &'a dyn Fn(&Path) -> Option<String>,
    modules: BTreeSet<Vec<String>>,
    imports: Vec<Import>,
}

impl<'a> Sources<'a> {
    fn of_crate(root: &Path, read: &'a dyn Fn(&Path) -> Option<String>) -> Self {
        let mut sources = Self { read, modules: BTreeSet::new(), imports: Vec::new() };
        sources.file(root, &[]);
        sources
    }

    /// Reads the module `module` from `file`.
    fn file(&mut self, file: &Path, module: &[String]) {
        let text = (self.read)(file).unwrap_or_else(|| panic!("{} is missing", file.display()));
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        // Where `mod x;` of this file looks.
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let folder = file.parent().unwrap().to_path_buf();
        let folder = if ["lib", "main", "mod"].contains(&stem.as_str()) { folder } else { folder.join(stem) };
        self.modules.insert(module.to_vec());
        self.tokens(tokens, module, file, &folder);
    }

    fn tokens(&mut self, tokens: TokenStream, module: &[String], file: &Path, folder: &Path) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut i = 0;
        let mut test_only = false;
        let mut elsewhere = None;
        while i < tokens.len() {
            match &tokens[i] {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let group = if is_punct(tokens.get(i + 1), '!') { i + 2 } else { i + 1 };
                    let attribute = tokens.get(group).map(ToString::to_string).unwrap_or_default().replace(' ', "");
                    elsewhere = elsewhere.or_else(|| attribute.starts_with("[path=").then(|| attribute.clone()));
                    test_only |= attribute.starts_with("[cfg(test)");
                    i = group + 1;
                }
                _ if test_only => {
                    while !ends_item(&tokens[i]) {
                        i += 1;
                    }
                    (test_only, elsewhere) = (false, None);
                    i += 1;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    assert_eq!(elsewhere, None, "{}: this test follows no such attribute", file.display());
                    let mut child = module.to_vec();
                    child.push(tokens[i + 1].to_string());
                    match &tokens[i + 2] {
                        TokenTree::Group(body) => {
                            self.modules.insert(child.clone());
                            self.tokens(body.stream(), &child, file, &folder.join(&child[child.len() - 1]));
                        }
                        _ => {
                            let name = &child[child.len() - 1];
                            let beside = folder.join(format!("{name}.rs"));
                            let below = folder.join(name).join("mod.rs");
                            let found = if (self.read)(&beside).is_some() { beside } else { below };
                            self.file(&found, &child);
                        }
                    }
                    i += 3;
                }
                TokenTree::Ident(word) if is_path_separator(&tokens[i + 1..]) && !after_separator(&tokens[..i]) => {
                    let place = format!("{}:{}", file.display(), word.span().start().line);
                    i = self.path(&tokens, i, Vec::new(), &place, module);
                }
                TokenTree::Group(group) => {
                    self.tokens(group.stream(), module, file, folder);
                    i += 1;
                }
                _ => i += 1,
            }
        }
    }

    /// Records the path, or tree of paths, at `tokens[i]`, with what stands before it; returns where it ends.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut i: usize,
        mut path: Vec<String>,
        place: &str,
        module: &[String],
    ) -> usize {
        loop {
            match tokens.get(i) {
                Some(TokenTree::Ident(word)) => path.push(word.to_string()),
                Some(TokenTree::Group(tree)) if tree.delimiter() == Delimiter::Brace && !path.is_empty() => {
                    let branches: Vec<TokenTree> = tree.stream().into_iter().collect();
                    for branch in branches.split(|token| is_punct(Some(token), ',')).filter(|branch| !branch.is_empty())
                    {
                        self.path(branch, 0, path.clone(), place, module);
                    }
                    return i + 1;
                }
                Some(TokenTree::Punct(star)) if star.as_char() == '*' => path.push("*".into()),
                // The parameters of a type.
                _ => {
                    self.record(path, place, module);
                    return i;
                }
            }
            i += 1;
            if !is_path_separator(&tokens[i..]) {
                self.record(path, place, module);
                return i;
            }
            i += 2;
        }
    }

    fn record(&mut self, path: Vec<String>, place: &str, module: &[String]) {
        let mut rest = path.as_slice();
        let mut from_root = module.to_vec();
        let to = match rest.first().map(String::as_str) {
            Some("crate") => Target::Own(path[1..].to_vec()),
            Some("self" | "super") => {
                while let Some((first, others)) = rest.split_first() {
                    match first.as_str() {
                        "self" => (),
                        "super" => drop(from_root.pop()),
                        _ => break,
                    }
                    rest = others;
                }
                from_root.extend_from_slice(rest);
                Target::Own(from_root)
            }
            // A child of this module, or another crate.
            Some(first) => {
                from_root.push(first.into());
                if self.modules.contains(&from_root) {
                    from_root.extend_from_slice(&path[1..]);
                    Target::Own(from_root)
                } else {
                    Target::Other(path)
                }
            }
            None => return,
        };
        self.imports.push(Import { place: place.into(), from: module.to_vec(), to });
    }

    /// Where the names that the root re-exports come from.
    fn reexports(&self) -> BTreeMap<&str, &[String]> {
        let own = self.imports.iter().filter(|import| import.from.is_empty()).filter_map(|import| match &import.to {
            Target::Own(path) if path.len() > 1 => Some((path[path.len() - 1].as_str(), path.as_slice())),
            _ => None,
        });
        own.collect()
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':')
}

fn after_separator(tokens: &[TokenTree]) -> bool {
    tokens.len() >= 2 && is_path_separator(&tokens[tokens.len() - 2..])
}

fn ends_item(token: &TokenTree) -> bool {
    is_punct(Some(token), ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

impl Layers {
    /// The row of a path: its longest beginning that has one.
    fn row(&self, path: &[String]) -> Option<&'static str> {
        let beginnings = (1..=path.len()).rev().map(|len| path[..len].join("::"));
        beginnings.filter_map(|name| self.rows.iter().find(|(row, _)| *row == name).map(|(row, _)| *row)).next()
    }

    fn may_import(&self, from: &str, to: &str) -> bool {
        let mut reached = BTreeSet::from([from]);
        let mut new = vec![from];
        while let Some(name) = new.pop() {
            let (_, direct) = self.rows.iter().find(|(row, _)| *row == name).expect("a row for each name in a table");
            new.extend(direct.iter().filter(|next| reached.insert(next)));
        }
        // A row stands for all modules below it that have none of their own; a parent holds the names of its children.
        reached.contains(to) || from.strip_prefix(to).is_some_and(|rest| rest.starts_with("::"))
    }

    /// Every import that the table does not allow, in words.
    fn violations(&self, sources: &Sources<'_>) -> Vec<String> {
        let reexports = sources.reexports();
        let new = sources.modules.iter().filter(|module| module.len() == 1 && self.row(module).is_none());
        let mut found: Vec<String> = new
            .map(|module| format!("the module `{}` has no row in the table of tests/layering.rs", module[0]))
            .collect();
        for Import { place, from, to } in &sources.imports {
            let Target::Own(to) = to else { continue };
            let to = to.first().and_then(|first| reexports.get(first.as_str()).copied()).unwrap_or(to);
            let (Some(from), Some(row)) = (self.row(from), self.row(to)) else { continue };
            if !self.may_import(from, row) && !self.items.contains(&(from, to.join("::").as_str())) {
                found.push(format!("{place}: `{from}` must not import `{row}`"));
            }
        }
        found.dedup();
        found
    }

    /// Every path into the crate `name` outside of the modules `allowed`, except for `harmless` names.
    fn intrusions(&self, sources: &Sources<'_>, name: &str, allowed: &[&str], harmless: &[&str]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for Import { place, from, to } in &sources.imports {
            let Target::Other(to) = to else { continue };
            let row = self.row(from).unwrap_or_default();
            if to[0] == name
                && !allowed.contains(&row)
                && !to.get(1).is_some_and(|item| harmless.contains(&item.as_str()))
            {
                found.push(format!("{place}: `{row}` must not use `{}`", to.join("::")));
            }
        }
        found
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn root_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name).join("src").join("lib.rs")
}

#[test]
fn ckks_imports_downwards() {
    let sources = Sources::of_crate(&root_of("ckks"), &read);
    assert!(sources.modules.len() > 20 && sources.imports.len() > 100, "the sources were not read");
    assert_eq!(CKKS.violations(&sources), Vec::<String>::new());
    assert_eq!(CKKS.intrusions(&sources, "nn", &[], &[]), Vec::<String>::new());
}

#[test]
fn nn_imports_along_its_stages() {
    let sources = Sources::of_crate(&root_of("nn"), &read);
    assert!(sources.modules.len() > 20 && sources.imports.len() > 100, "the sources were not read");
    assert_eq!(NN.violations(&sources), Vec::<String>::new());
    assert_eq!(NN.intrusions(&sources, "ckks", OF_CIPHERTEXTS, DESCRIPTIONS), Vec::<String>::new());
    assert_eq!(NN.intrusions(&sources, "tract_onnx", OF_ONNX, &[]), Vec::<String>::new());
    assert_eq!(NN.intrusions(&sources, "bench", OF_CASES, &["Error"]), Vec::<String>::new());
}

#[test]
fn only_the_client_holds_what_is_secret() {
    let sources = Sources::of_crate(&root_of("nn"), &read);
    let holders = sources.imports.iter().filter_map(|import| match &import.to {
        Target::Other(to) if to[0] == "ckks" && SECRETS.contains(&to[to.len() - 1].as_str()) => Some(&import.from),
        _ => None,
    });
    let holders: BTreeSet<String> = holders.map(|module| module.join("::")).collect();
    assert!(holders.contains("session::client"), "the sources were not read");
    let strangers: Vec<_> =
        holders.iter().filter(|name| *name != "session::client" && !name.starts_with("measure")).collect();
    assert_eq!(strangers, Vec::<&String>::new());
}

#[test]
fn the_binary_is_thin() {
    let sources = Sources::of_crate(&root_of("nn").with_file_name("main.rs"), &read);
    for name in ["ckks", "tract_onnx", "rayon"] {
        assert_eq!(NN.intrusions(&sources, name, &[], &[]), Vec::<String>::new());
    }
}

/// A crate that is not there: its files by path.
fn violations_of(layers: &Layers, files: &[(&str, &str)]) -> Vec<String> {
    let files: BTreeMap<PathBuf, String> = files.iter().map(|(path, text)| (path.into(), (*text).into())).collect();
    let read = |path: &Path| files.get(path).cloned();
    let sources = Sources::of_crate(Path::new("lib.rs"), &read);
    let mut found = layers.violations(&sources);
    found.extend(layers.intrusions(&sources, "ckks", OF_CIPHERTEXTS, DESCRIPTIONS));
    found
}

#[test]
fn every_way_to_write_an_import_is_seen() {
    let root = "mod arith; mod error; mod ring; mod scheme; pub use scheme::Params;";
    let with = |ring: &str| {
        let files = [
            ("lib.rs", root),
            ("arith.rs", ""),
            ("error.rs", ""),
            ("ring/mod.rs", ring),
            ("scheme/mod.rs", ""),
            ("ring/poly.rs", "use super::super::scheme::Params;"),
        ];
        violations_of(&CKKS, &files)
    };
    let wrong = "`ring` must not import `scheme`";
    for text in [
        "use crate::scheme::Params;",
        "use crate::{arith::Modulus, scheme::{self, Params as P}};",
        "use super::scheme;",
        "use super::{arith, scheme::*};",
        "pub(crate) use crate::Params;",
        "fn f(x: crate::scheme::Params) {}",
        "fn f() { assert!(crate::scheme::check::<u64>()); }",
        "mod inner { use super::super::scheme::Params; }",
        "mod inner { fn f() -> Vec<crate::scheme::Params> { vec![] } }",
        "mod poly;",
        "#[cfg(test)] mod tests { use crate::scheme::Params; } use crate::scheme::Params;",
    ] {
        let found = with(text);
        assert!(found.len() == 1 && found[0].ends_with(wrong), "{text}: {found:?}");
    }
    for text in [
        "use crate::arith::Modulus; use super::error::Error; use crate::error;",
        "// use crate::scheme::Params;",
        "/// See [`Params`](crate::scheme::Params). \n pub struct Ring;",
        "const NAME: &str = \"crate::scheme::Params\";",
        "#[cfg(test)] mod tests { use crate::scheme::Params; }",
        "#[cfg(test)] use crate::scheme::Params;",
        "mod inner { pub(in super::super) fn f() {} }",
    ] {
        assert_eq!(with(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn new_modules_need_a_row() {
    let found = violations_of(&CKKS, &[("lib.rs", "mod utils;"), ("utils.rs", "")]);
    assert_eq!(found, ["the module `utils` has no row in the table of tests/layering.rs"]);
}

#[test]
fn sideways_imports_and_ciphertexts_in_the_wrong_place_are_seen() {
    let exec = "mod clear; mod encrypted; mod trace;";
    let nn = |trace: &str, encrypted: &str| {
        let files = [
            ("lib.rs", "mod error; mod exec; mod program;"),
            ("error.rs", ""),
            ("exec.rs", exec),
            ("exec/clear.rs", "use super::Interpreter; use crate::program::Program; use crate::graph::Graph;"),
            ("exec/encrypted.rs", encrypted),
            ("exec/trace.rs", trace),
            ("program.rs", ""),
        ];
        violations_of(&NN, &files)
    };
    assert_eq!(nn("use ckks::{Params, Scale};", "use ckks::{Ciphertext, Evaluator};"), Vec::<String>::new());
    assert_eq!(
        nn("use super::encrypted::Prepared;", ""),
        ["exec/trace.rs:1: `exec::trace` must not import `exec::encrypted`"]
    );
    let found = nn("use ckks::{Params, Ciphertext};\nfn f(x: ckks::SecretKey) {}", "");
    assert_eq!(
        found,
        [
            "exec/trace.rs:1: `exec::trace` must not use `ckks::Ciphertext`",
            "exec/trace.rs:2: `exec::trace` must not use `ckks::SecretKey`"
        ]
    );
}
