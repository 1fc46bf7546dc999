//! A manifest with places in it → objects in a cluster, by way of kubectl; a port of theirs on this machine; and their deletion.
//!
//! What is waited for: the roll-out of Deployments, StatefulSets and DaemonSets, the condition Ready of DynamoGraphDeployments.
//! What is reached: the first Service of the manifest, or the frontend of its DynamoGraphDeployment. Everything that kubectl says
//! goes to the log.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::launched::{LOG_NAME, check, failed, fill, free_port};
use super::process::{self, Group};
use super::{Slot, Watch};
use crate::error::{Error, InputError, Result};
use crate::time::{Clock, SECOND_NS, SystemClock};

/// Bytes of a manifest, at most.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// The file as it is applied.
const MANIFEST_NAME: &str = "manifest.yaml";
/// The program.
const KUBECTL: &str = "kubectl";
/// Where the frontend of a DynamoGraphDeployment listens.
const DYNAMO_PORT: u16 = 8000;
/// How long a deletion may take beyond the time to end, ns.
const DELETE_NS: i64 = 300 * SECOND_NS;

/// A manifest to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    path: PathBuf,
    text: String,
    namespace: Option<String>,
}

/// What is in a manifest that was filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    /// What is waited for: the words that kubectl is given.
    waits: Vec<[String; 3]>,
    /// Service and port.
    service: Option<(String, u16)>,
}

impl Manifest {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Input`] for what is no manifest, or one that says not what to reach.
    pub fn read(path: &Path, namespace: Option<&str>) -> Result<Manifest> {
        let fault = |problem: String| {
            let remedy = "give a Service, or a DynamoGraphDeployment; {model} and {tp} are filled in";
            Error::from(InputError::of_file(path.display().to_string(), problem, remedy))
        };
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        if size > MANIFEST_BYTES_MAX {
            return Err(fault(format!("it is larger than {} MiB", MANIFEST_BYTES_MAX >> 20)));
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        for line in text.lines() {
            // In a manifest `{` is YAML's, too: only what is a word in braces is a place.
            check(line).map_err(fault)?;
        }
        let sample = Slot { model: "model", tp: 1, dir: Path::new("") };
        let contents = contents(&fill(&text, sample, 0)).map_err(fault)?;
        if contents.service.is_none() {
            return Err(fault(
                "it has neither a Service nor a DynamoGraphDeployment: there is nothing to reach".into(),
            ));
        }
        Ok(Manifest { path: path.to_owned(), text, namespace: namespace.map(str::to_owned) })
    }

    /// Applies it, waits for it, forwards a port, and waits until its model answers; `None` where the user stopped it.
    ///
    /// # Errors
    /// [`Error::Usage`] without kubectl; [`Error::Endpoint`] where it does not get ready; [`Error::Io`] for files.
    pub(super) fn start(&self, slot: Slot<'_>, watch: &Watch<'_>) -> Result<Option<Applied>> {
        let file = slot.dir.join(MANIFEST_NAME);
        let text = fill(&self.text, slot, 0);
        std::fs::write(&file, &text).map_err(Error::io(&file))?;
        let contents =
            contents(&text).map_err(|e| Error::Input(InputError::of_file(file.display().to_string(), e, "")))?;
        let log = slot.dir.join(LOG_NAME);
        let mut applied = Applied {
            file,
            namespace: self.namespace.clone(),
            log,
            stop_ns: watch.stop_ns,
            forward: None,
            url: String::new(),
        };
        // From here on there may be objects, whatever happens: dropping `applied` deletes them.
        match applied.bring_up(&contents, watch) {
            Ok(true) => Ok(Some(applied)),
            Ok(false) => applied.stop().map(|()| None),
            Err(Wrong::Error(error)) => Err(error),
            Err(Wrong::Unready(why)) => {
                let error = failed(slot.tp, &why, &applied.log);
                applied.stop()?;
                Err(error)
            }
        }
    }
}

/// Why there is no deployment.
enum Wrong {
    /// It does not get ready.
    Unready(String),
    /// It cannot be tried.
    Error(Error),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Wrong {
        Wrong::Error(error)
    }
}

/// Objects in a cluster. Dropping it deletes them.
#[derive(Debug)]
pub struct Applied {
    file: PathBuf,
    namespace: Option<String>,
    log: PathBuf,
    stop_ns: i64,
    forward: Option<Group>,
    /// Where it answers.
    pub url: String,
}

impl Applied {
    /// False where the user stopped it.
    fn bring_up(&mut self, contents: &Contents, watch: &Watch<'_>) -> std::result::Result<bool, Wrong> {
        let clock = SystemClock::starting_in(0);
        let left_ns = || (watch.ready_ns - clock.now_ns()).max(SECOND_NS);
        let file = self.file.display().to_string();
        if !self.kubectl(&["apply", "-f", &file], left_ns(), watch.is_stopped)? {
            return Ok(false);
        }
        for [verb, what, object] in &contents.waits {
            let timeout = format!("--timeout={}s", left_ns() / SECOND_NS);
            if !self.kubectl(&[verb, what, object, &timeout], left_ns() + 10 * SECOND_NS, watch.is_stopped)? {
                return Ok(false);
            }
        }
        let Some((service, port)) = &contents.service else {
            return Err(Wrong::Unready("its manifest has no Service".into()));
        };
        let local = free_port()?;
        self.url = format!("http://127.0.0.1:{local}");
        let forward = ["port-forward".to_owned(), format!("service/{service}"), format!("{local}:{port}")];
        let mut forward = Group::start(&self.words(&forward), &[], &self.log, watch.stop_ns)?;
        let rest = Watch { ready_ns: left_ns(), ..*watch };
        let is_ready =
            rest.until_ready(&self.url, &mut || forward.ended().map(|how| format!("kubectl port-forward: {how}")));
        self.forward = Some(forward);
        is_ready.map_err(Wrong::Unready)
    }

    /// Runs kubectl to its end; false where the user stopped it.
    fn kubectl(
        &self,
        words: &[&str],
        patience_ns: i64,
        is_stopped: &dyn Fn() -> bool,
    ) -> std::result::Result<bool, Wrong> {
        let clock = SystemClock::starting_in(0);
        let owned: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut group = Group::start(&self.words(&owned), &[], &self.log, self.stop_ns)?;
        let name = || format!("kubectl {}", words.join(" "));
        loop {
            match group.succeeded() {
                Some(true) => return Ok(true),
                Some(false) => return Err(Wrong::Unready(format!("{} failed", name()))),
                None if is_stopped() => return Ok(false),
                None if clock.now_ns() > patience_ns => {
                    return Err(Wrong::Unready(format!("{} took longer than {} s", name(), patience_ns / SECOND_NS)));
                }
                None => process::pause(),
            }
        }
    }

    fn words(&self, of: &[String]) -> Vec<String> {
        let namespace = self.namespace.iter().flat_map(|name| ["--namespace".to_owned(), name.clone()]);
        std::iter::once(KUBECTL.to_owned()).chain(namespace).chain(of.iter().cloned()).collect()
    }

    /// How the forwarding of its port ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.forward.as_mut().and_then(Group::ended).map(|how| format!("kubectl port-forward: {how}"))
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn stop(mut self) -> Result<()> {
        self.delete()
    }

    /// Deletes the objects, once.
    fn delete(&mut self) -> Result<()> {
        if let Some(forward) = self.forward.take() {
            forward.stop()?;
        }
        if self.file.as_os_str().is_empty() {
            return Ok(());
        }
        let file = std::mem::take(&mut self.file).display().to_string();
        let words = ["delete", "-f", &file, "--ignore-not-found", "--wait"];
        // Not even a second Ctrl-C keeps GPUs occupied.
        match self.kubectl(&words, self.stop_ns.saturating_add(DELETE_NS), &|| false) {
            Ok(_) => Ok(()),
            Err(Wrong::Error(error)) => Err(error),
            Err(Wrong::Unready(why)) => {
                Err(Error::Endpoint(format!("{why}: the cluster may still hold it; its log is {}", self.log.display())))
            }
        }
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        // Who lets it drop has an error of its own to tell; the log has what kubectl said.
        let _ = self.delete();
    }
}

/// What a manifest asks for.
fn contents(text: &str) -> std::result::Result<Contents, String> {
    let first_line = |e: &dyn std::fmt::Display| e.to_string().lines().next().unwrap_or_default().to_owned();
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| first_line(&e))?;
    let mut contents = Contents::default();
    let mut frontend = None;
    for document in &documents {
        let (Some(kind), Some(name)) = (document["kind"].as_str(), document["metadata"]["name"].as_str()) else {
            continue;
        };
        match kind {
            "Deployment" | "StatefulSet" | "DaemonSet" => {
                let object = format!("{}/{name}", kind.to_lowercase());
                contents.waits.push(["rollout".into(), "status".into(), object]);
            }
            "DynamoGraphDeployment" => {
                let object = format!("dynamographdeployment/{name}");
                contents.waits.push(["wait".into(), "--for=condition=Ready".into(), object]);
                frontend = frontend.or(Some((format!("{name}-frontend"), DYNAMO_PORT)));
            }
            "Service" => {
                let port = document["spec"]["ports"][0]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
                let port = port.ok_or_else(|| format!("Service {name} has no port"))?;
                contents.service.get_or_insert((name.to_owned(), port));
            }
            _ => {}
        }
    }
    contents.service = contents.service.or(frontend);
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_and_reached_stands_in_the_manifest() {
        let text = "kind: Deployment\nmetadata: {name: q-tp4}\n---\nkind: Service\nmetadata: {name: q}\nspec: {ports: [{port: 8001}]}\n\
                    ---\nkind: ConfigMap\nmetadata: {name: c}\n";
        let found = contents(text).unwrap();
        assert_eq!(found.waits, [["rollout", "status", "deployment/q-tp4"].map(String::from)]);
        assert_eq!(found.service, Some(("q".into(), 8001)));
        let found = contents("kind: DynamoGraphDeployment\nmetadata: {name: d}\n").unwrap();
        assert_eq!(found.waits, [["wait", "--for=condition=Ready", "dynamographdeployment/d"].map(String::from)]);
        assert_eq!(found.service, Some(("d-frontend".into(), 8000)));
        assert!(contents("kind: Service\nmetadata: {name: q}\n").unwrap_err().contains("Service q has no port"));
        assert!(contents("{").is_err());
    }

    #[test]
    fn a_manifest_without_a_way_in_or_with_an_unknown_place_is_refused() {
        let path = std::env::temp_dir().join(format!("loadline-manifest-{}.yaml", std::process::id()));
        for (text, why) in [
            ("kind: Deployment\nmetadata: {name: a}\n", "nothing to reach"),
            ("kind: Service\nmetadata: {name: 'a-{tps}'}\n", "{tps} is no place"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = Manifest::read(&path, None).unwrap_err().to_string();
            assert!(said.contains(why) && said.contains(".yaml"), "{said}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
