//! Where a plan's results are kept, and how they are found again.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Result};
use crate::plan::address::address;
use crate::plan::agenda::{Agenda, State};
use crate::plan::file::Plan;
use crate::plan::reference::{Places, resolve};

/// The file that says a step was answered.
const ANSWER: &str = "step.json";
/// The step's own directory, inside the one that is named by its address.
const OUT: &str = "out";

/// How a step was answered.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Answer {
    pub(super) exit_code: i32,
    pub(super) wall_s: f64,
}

/// The results of a plan's steps.
pub(super) struct Store<'a> {
    root: PathBuf,
    plan: &'a Plan,
    /// The directory of each step whose address is known.
    dirs: Vec<Option<PathBuf>>,
    answers: Vec<Option<Answer>>,
    /// Whether the answer is that of another step, which bears its cost.
    is_shared: Vec<bool>,
}

impl<'a> Store<'a> {
    pub(super) fn new(root: &Path, plan: &'a Plan) -> Store<'a> {
        let steps = plan.steps.len();
        Store {
            root: root.into(),
            plan,
            dirs: vec![None; steps],
            answers: vec![None; steps],
            is_shared: vec![false; steps],
        }
    }

    /// Seconds that a step took; none of one that shares another's answer.
    pub(super) fn wall_s(&self, step: usize) -> Option<f64> {
        self.answers[step].filter(|_| !self.is_shared[step]).map(|answer| answer.wall_s)
    }

    /// The directory of a step that was found or prepared.
    pub(super) fn dir(&self, step: usize) -> &Path {
        self.dirs[step].as_deref().unwrap_or(&self.root)
    }

    /// Looks for an answer to a step whose needs are answered.
    pub(super) fn find(&mut self, step: usize) -> Result<bool> {
        let Ok(dir) = self.place(step)? else { return Ok(false) };
        let path = dir.join(ANSWER);
        self.dirs[step] = Some(dir);
        self.answers[step] = match std::fs::read_to_string(&path) {
            // A file that holds no answer is as good as none.
            Ok(text) => serde_json::from_str(&text).ok(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io(path)(e)),
        };
        if self.answers[step].is_none()
            && let Some(twin) = self.twin(step)
        {
            (self.dirs[step], self.answers[step]) = (self.dirs[twin].clone(), self.answers[twin]);
            self.is_shared[step] = true;
        }
        Ok(self.answers[step].is_some())
    }

    /// An answered step of the same words and inputs, whatever its name: its results are this step's.
    fn twin(&self, step: usize) -> Option<usize> {
        let digits = |dir: &Option<PathBuf>| {
            let name = dir.as_ref()?.file_name()?.to_str()?;
            name.rsplit_once('-').map(|(_, digits)| digits.to_owned())
        };
        let own = digits(&self.dirs[step])?;
        (0..self.dirs.len()).find(|n| self.answers[*n].is_some() && digits(&self.dirs[*n]).as_ref() == Some(&own))
    }

    /// Makes room for a step and gives its words; none where it is answered already. What an earlier call left of it is set aside.
    pub(super) fn prepare(&mut self, step: usize) -> Result<std::result::Result<Option<Vec<String>>, String>> {
        match self.place(step)? {
            Err(why) => return Ok(Err(why)),
            Ok(_) if self.find(step)? => return Ok(Ok(None)),
            Ok(_) => {}
        }
        let dir = self.dir(step).to_owned();
        if dir.exists() {
            set_aside(&dir)?;
        }
        let own = dir.join(OUT);
        std::fs::create_dir_all(&own).map_err(Error::io(&own))?;
        Ok(self.words(step, &own.display().to_string(), &|dir| dir.display().to_string()).map(Some))
    }

    /// Keeps an answer, and lets the step's name lead to it.
    pub(super) fn keep(&mut self, step: usize, answer: Answer) -> Result<()> {
        let dir = self.dir(step).to_owned();
        let text = json!({ "exit_code": answer.exit_code, "wall_s": answer.wall_s,
            "gpus": self.plan.steps[step].gpus, "loadline_version": env!("CARGO_PKG_VERSION"),
            "words": self.words(step, "{dir}", &|dir| dir.display().to_string()).unwrap_or_default() });
        let path = dir.join(ANSWER);
        // Renamed into place: a step is answered or not, and never half.
        let part = dir.join("step.json.part");
        std::fs::write(&part, format!("{text:#}\n")).map_err(Error::io(&part))?;
        std::fs::rename(&part, &path).map_err(Error::io(&path))?;
        self.answers[step] = Some(answer);
        Ok(())
    }

    /// Writes `plan.json`, and a link to each answered step's directory beside it.
    pub(super) fn account(&self, agenda: &Agenda<'_>) -> Result<()> {
        let mut steps = Vec::new();
        for (n, (step, state)) in self.plan.steps.iter().zip(agenda.states()).enumerate() {
            let answer = self.answers[n];
            steps.push(json!({ "name": step.name, "state": format!("{state:?}").to_lowercase(), "gpus": step.gpus,
                "wall_s": self.wall_s(n), "gpu_s": self.wall_s(n).map(|s| s * step.gpus), "shares_another": self.is_shared[n],
                "exit_code": answer.map(|a| a.exit_code),
                "dir": self.dirs[n].as_ref().filter(|_| state.is_answered()).map(|dir| dir.join(OUT)) }));
            if state.is_answered() {
                self.link(n)?;
            }
        }
        let text = json!({ "schema_version": 1, "loadline_version": env!("CARGO_PKG_VERSION"), "steps": steps,
            "answered": agenda.states().iter().filter(|s| s.is_answered()).count(),
            "failed": agenda.states().iter().filter(|s| **s == State::Failed).count() });
        std::fs::create_dir_all(&self.root).map_err(Error::io(&self.root))?;
        let path = self.root.join("plan.json");
        std::fs::write(&path, format!("{text:#}\n")).map_err(Error::io(&path))
    }

    fn link(&self, step: usize) -> Result<()> {
        let Some(dir) = &self.dirs[step] else { return Ok(()) };
        let link = self.root.join(&self.plan.steps[step].name);
        match std::fs::symlink_metadata(&link) {
            Ok(is) if is.is_symlink() => std::fs::remove_file(&link).map_err(Error::io(&link))?,
            // Somebody's own file of that name is left alone.
            Ok(_) => return Ok(()),
            Err(_) => {}
        }
        let below_root = dir.strip_prefix(&self.root).unwrap_or(dir).join(OUT);
        std::os::unix::fs::symlink(below_root, &link).map_err(Error::io(&link))
    }

    /// The directory of a step by its address; why it has none.
    fn place(&self, step: usize) -> Result<std::result::Result<PathBuf, String>> {
        // Earlier steps stand by their addresses, so that results can be moved.
        let by_address = |dir: &Path| {
            dir.parent().and_then(Path::file_name).map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        let words = match self.words(step, "{dir}", &by_address) {
            Ok(words) => words,
            Err(why) => return Ok(Err(why)),
        };
        let of = &self.plan.steps[step];
        Ok(Ok(self.root.join("steps").join(address(&of.name, &words, &of.inputs)?)))
    }

    fn words(
        &self,
        step: usize,
        own: &str,
        written: &dyn Fn(&Path) -> String,
    ) -> std::result::Result<Vec<String>, String> {
        let answered = |(dir, answer): (&Option<PathBuf>, &Option<Answer>)| {
            dir.as_ref().filter(|_| answer.is_some()).map(|dir| dir.join(OUT))
        };
        let of: Vec<_> = self.dirs.iter().zip(&self.answers).map(answered).collect();
        let places = Places { own, of: &of, written };
        self.plan.steps[step].words.iter().map(|word| resolve(word, &places)).collect()
    }
}

/// Renames what a killed step left: rows that were flushed are still somebody's.
fn set_aside(dir: &Path) -> Result<()> {
    for n in 1..=10_000 {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".unfinished-{n}"));
        if !Path::new(&name).exists() {
            return std::fs::rename(dir, &name).map_err(Error::io(dir));
        }
    }
    Err(Error::Usage(format!("{} has been left unfinished 10,000 times; remove what is not needed", dir.display())))
}
