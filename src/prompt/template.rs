//! A model's chat template → the text that a server makes of messages, as it is tokenised.
//!
//! The template is the folder's `chat_template.jinja`, or `chat_template` of its `tokenizer_config.json`, rendered as
//! Hugging Face's transformers do: with the special tokens by name, a generation prompt, and blocks trimmed.
//! Not here: how many tokens that is ([`super::source`]).

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};
use serde_json::Value as Json;

use crate::error::{Error, InputError, Result};

const TEMPLATE_FILE: &str = "chat_template.jinja";
const CONFIG_FILE: &str = "tokenizer_config.json";
/// The template's name, in errors.
const NAME: &str = "chat template";
/// What the day that templates ask for is replaced with, by `strftime`'s letters: any day has as many tokens.
const DAY: [(&str, &str); 9] = [
    ("%Y", "2026"),
    ("%m", "11"),
    ("%d", "24"),
    ("%b", "Nov"),
    ("%B", "November"),
    ("%A", "Tuesday"),
    ("%H", "12"),
    ("%M", "30"),
    ("%S", "15"),
];

/// A chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// `bos_token` and its like.
    specials: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// The template of a model's folder.
    ///
    /// # Errors
    /// There is none, or it cannot be understood.
    pub fn of_folder(folder: &Path) -> Result<ChatTemplate> {
        let config_path = folder.join(CONFIG_FILE);
        let config: Json = match std::fs::read_to_string(&config_path) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| unusable(&config_path, format!("is not JSON: {e}")))?,
            Err(_) => Json::Null,
        };
        let path = folder.join(TEMPLATE_FILE);
        let (path, source) = match std::fs::read_to_string(&path) {
            Ok(source) => (path, source),
            Err(_) => {
                let source = configured(&config).ok_or_else(|| {
                    unusable(
                        folder,
                        format!("holds no chat template: neither {TEMPLATE_FILE} nor {CONFIG_FILE} has one"),
                    )
                })?;
                (config_path, source)
            }
        };
        ChatTemplate::new(source, specials(&config)).map_err(|e| unusable(&path, e))
    }

    /// The template that `source` spells, for a tokenizer with these special tokens, by name.
    ///
    /// # Errors
    /// What minijinja cannot parse.
    pub fn new(source: String, specials: BTreeMap<String, String>) -> std::result::Result<ChatTemplate, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| e.to_string())?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> std::result::Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_function("strftime_now", |format: String| {
            DAY.iter().fold(format, |text, (letter, value)| text.replace(letter, value))
        });
        environment.add_template_owned(NAME, source).map_err(|e| format!("is no chat template: {e:#}"))?;
        Ok(ChatTemplate { environment, specials })
    }

    /// What a server tokenises for one message of a user.
    ///
    /// # Errors
    /// What the template refuses or does not know.
    pub fn render(&self, content: &str) -> std::result::Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|e| e.to_string())?;
        let messages = [context! { role => "user", content => content }];
        let specials = Value::from_pairs(self.specials.iter().map(|(name, text)| (name.clone(), text.clone())));
        let context = context! { messages, add_generation_prompt => true, ..specials };
        template.render(context).map_err(|e| format!("the chat template cannot be rendered: {e:#}"))
    }
}

/// The configuration's template: one, or the one called "default" of several.
fn configured(config: &Json) -> Option<String> {
    match &config["chat_template"] {
        Json::String(source) => Some(source.clone()),
        Json::Array(named) => {
            let default = named.iter().find(|t| t["name"] == "default").or(named.first())?;
            default["template"].as_str().map(String::from)
        }
        _ => None,
    }
}

/// The configuration's special tokens, which are texts or objects with one.
fn specials(config: &Json) -> BTreeMap<String, String> {
    let fields = config.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("_token"));
    let text = |value: &Json| value.as_str().or(value["content"].as_str()).map(String::from);
    fields.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

fn unusable(path: &Path, problem: String) -> Error {
    Error::Input(InputError::of_file(
        path.display().to_string(),
        problem,
        "give a model's whole folder as --tokenizer, or count prompts alone with --isl-counts prompt",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_render_as_transformers_do() {
        let source = "{% if tools %}\n  never\n{% endif %}\n{{ bos_token }}{% for m in messages %}\n\
                      <{{ m['role'] }}>{{ m.content.strip() | trim }}{{ strftime_now('%d %b %Y') }}\n{% endfor %}\n\
                      {%- if add_generation_prompt %}[go]{% endif %}";
        let template = ChatTemplate::new(source.into(), BTreeMap::from([("bos_token".into(), "<s>".into())])).unwrap();
        assert_eq!(template.render(" hi ").unwrap(), "<s><user>hi24 Nov 2026\n[go]");
    }

    #[test]
    fn what_a_template_refuses_is_told() {
        let template = ChatTemplate::new("{{ raise_exception('no users') }}".into(), BTreeMap::new()).unwrap();
        assert!(template.render("hi").unwrap_err().contains("no users"));
        assert!(ChatTemplate::new("{% if %}".into(), BTreeMap::new()).unwrap_err().contains("no chat template"));
    }

    #[test]
    fn configurations_name_one_template_or_several() {
        let config = serde_json::json!({"chat_template": [{"name": "rag", "template": "a"}, {"name": "default", "template": "b"}],
            "eos_token": {"content": "</s>"}, "pad_token": null});
        assert_eq!(configured(&config).as_deref(), Some("b"));
        assert_eq!(specials(&config), BTreeMap::from([("eos_token".to_string(), "</s>".to_string())]));
    }
}
