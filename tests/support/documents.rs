//! What users read: the READMEs and every page of `docs/`, each in English and in Chinese.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A document of the repository.
pub(crate) struct Document {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every document with its translation, the READMEs first.
pub(crate) fn documents() -> Vec<[Document; 2]> {
    let (english, chinese) = (pages("docs"), pages("docs/zh-CN"));
    assert_eq!(english, chinese, "every page of docs/ has its twin in docs/zh-CN/");
    assert!(!english.is_empty(), "docs/ has pages");
    let readmes = ["README.md".to_owned(), "README.zh-CN.md".to_owned()];
    let pages = english.iter().map(|name| [format!("docs/{name}"), format!("docs/zh-CN/{name}")]);
    [readmes].into_iter().chain(pages).map(|paths| paths.map(read)).collect()
}

/// All documents of a language as one text, English and Chinese.
pub(crate) fn texts() -> [String; 2] {
    let mut texts = [String::new(), String::new()];
    for pair in documents() {
        for (text, document) in texts.iter_mut().zip(pair) {
            text.push_str(&document.text);
            text.push('\n');
        }
    }
    texts
}

/// The code blocks of a document: the language, and the text without the block's indentation.
pub(crate) fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let block = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
        let block: Vec<_> = block.map(|line| line.get(indent..).unwrap_or_default()).collect();
        blocks.push((language.to_owned(), block.join("\n")));
    }
    blocks
}

/// The headings of a document: the level, and the anchor to which a link leads.
pub(crate) fn headings(text: &str) -> Vec<(usize, String)> {
    let mut in_code = false;
    let mut headings = Vec::new();
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if in_code || !title.starts_with(' ') || title.len() == line.len() {
            continue;
        }
        let kept = title.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        headings.push((line.len() - title.len(), kept.map(|c| if c == ' ' { '-' } else { c }).collect()));
    }
    headings
}

fn pages(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md")).collect()
}

fn read(path: String) -> Document {
    let text = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Document { path, text }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
