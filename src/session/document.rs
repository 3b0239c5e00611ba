//! What a check returned, as JSON: read strictly, and addressed by pointers.

use std::str::FromStr;
use std::{fmt, iter};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::Denial;

/// A JSON object without duplicate names, at any depth; or nothing, where a check returns the subject alone.
#[derive(Clone, Default)]
pub struct Document(Value);

impl Document {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// What is wrong with it, as a reason to refuse a token: other callers do not distinguish duplicate names.
    pub fn parse(json: &[u8]) -> Result<Self, Denial> {
        let mut json = serde_json::Deserializer::from_slice(json);
        match Strict.deserialize(&mut json).and_then(|value| json.end().map(|()| value)) {
            Ok(object @ Value::Object(_)) => Ok(Self(object)),
            Err(error) if error.is_data() => Err(Denial::DuplicateName),
            Ok(_) | Err(_) => Err(Denial::MalformedToken),
        }
    }

    /// The member of this name at the top.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The members at the top.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    /// The value that `pointer` leads to.
    pub fn at(&self, pointer: &Pointer) -> Option<&Value> {
        self.0.pointer(&pointer.0)
    }

    /// The subject that `pointer` leads to: text unchanged, or the digits of an exact integer.
    pub(super) fn subject(&self, pointer: &Pointer) -> Result<String, Denial> {
        match self.at(pointer) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            None | Some(Value::Null | Value::String(_)) => Err(Denial::NoUser),
            Some(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
            Some(_) => Err(Denial::UserType),
        }
    }
}

/// Values in a document: where, and which of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions(pub Vec<(Pointer, Vec<Value>)>);

impl Conditions {
    /// Whether each pointer leads to one of its values, type included.
    pub fn all_hold(&self, document: &Document) -> bool {
        self.0.iter().all(|condition| Self::holds(condition, document))
    }

    /// Whether any pointer leads to one of its values.
    pub(super) fn any_holds(&self, document: &Document) -> bool {
        self.0.iter().any(|condition| Self::holds(condition, document))
    }

    fn holds((pointer, values): &(Pointer, Vec<Value>), document: &Document) -> bool {
        document.at(pointer).is_some_and(|value| values.contains(value))
    }
}

/// A JSON pointer (RFC 6901) to a value inside a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// A pointer to the member `name` at the top.
    pub fn to(name: &str) -> Self {
        Self(format!("/{}", name.replace('~', "~0").replace('/', "~1")))
    }

    /// Whether it leads to exactly the member `name` at the top.
    pub(super) fn is_member(&self, name: &str) -> bool {
        *self == Self::to(name)
    }
}

impl FromStr for Pointer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let escapes_known = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        let is_pointer = text.starts_with('/') && escapes_known;
        if is_pointer { Ok(Self(text.to_owned())) } else { Err("a JSON pointer begins with \"/\", as in \"/data/id\"") }
    }
}

/// Makes methods of a visitor that take a scalar as serde's own `Value` does.
macro_rules! scalars {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        })*
    };
}

/// JSON without duplicate names. serde's own `Value` would keep the last of them.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    scalars! { visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        iter::from_fn(|| seq.next_element_seed(Strict).transpose()).collect()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Strict)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a duplicate name"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(json: &str) -> Document {
        Document::parse(json.as_bytes()).expect("an object")
    }

    fn subject(json: &str, pointer: &str) -> Result<String, Denial> {
        document(json).subject(&pointer.parse().expect("a pointer"))
    }

    #[test]
    fn duplicate_names_are_refused_at_any_depth() {
        for json in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"b":2}]}"#, r#"{"a":1,"\u0061":1}"#]
        {
            assert_eq!(Document::parse(json.as_bytes()).map(|_| ()), Err(Denial::DuplicateName), "{json}");
        }
        for json in ["", "[]", "1", "{", r#"{"a":1} x"#] {
            assert_eq!(Document::parse(json.as_bytes()).map(|_| ()), Err(Denial::MalformedToken), "{json}");
        }
    }

    #[test]
    fn text_and_exact_integers_are_subjects_and_nothing_else_is() {
        assert_eq!(subject(r#"{"sub":"alice"}"#, "/sub"), Ok("alice".into()));
        assert_eq!(subject(r#"{"sub":" alice "}"#, "/sub"), Ok(" alice ".into()));
        assert_eq!(subject(r#"{"d":[{"id":9007199254740993}]}"#, "/d/0/id"), Ok("9007199254740993".into()));
        assert_eq!(subject(r#"{"id":18446744073709551615}"#, "/id"), Ok("18446744073709551615".into()));
        assert_eq!(subject(r#"{"id":-7}"#, "/id"), Ok("-7".into()));
        for json in ["{}", r#"{"id":null}"#, r#"{"id":""}"#] {
            assert_eq!(subject(json, "/id"), Err(Denial::NoUser), "{json}");
        }
        for json in
            [r#"{"id":1.0}"#, r#"{"id":true}"#, r#"{"id":{}}"#, r#"{"id":["a"]}"#, r#"{"id":18446744073709551616}"#]
        {
            assert_eq!(subject(json, "/id"), Err(Denial::UserType), "{json}");
        }
    }

    #[test]
    fn pointers_are_those_of_rfc_6901() {
        assert_eq!(subject(r#"{"a/b":{"m~n":"x"}}"#, "/a~1b/m~0n"), Ok("x".into()));
        assert_eq!(subject(r#"{"a":["x","y"]}"#, "/a/1"), Ok("y".into()));
        assert_eq!(subject(r#"{"a":["x","y"]}"#, "/a/01"), Err(Denial::NoUser));
        assert_eq!(subject(r#"{"":"x"}"#, "/"), Ok("x".into()));
        for text in ["", "a", "/a~2", "/a~"] {
            text.parse::<Pointer>().expect_err(text);
        }
    }
}
