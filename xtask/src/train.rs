//! `cargo xtask train`: a run from its configuration to its summary, readable from top to bottom.
//! Knows no operator and no loss; each line of work is done elsewhere.

mod events;
mod metrics;
mod outcome;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use arcface_data::{Loader, Source};

use crate::census::Census;
use crate::checkpoint::{self, Progress};
use crate::cli::TrainArguments;
use crate::config::{self, Chosen, Config};
use crate::host::Computer;
use crate::interrupt::{self, Interrupted};
use crate::report::{self, Contents};
use crate::run::{PROVENANCE, RunFolder, WEIGHTS};
use crate::sources::{self, Faces};
use crate::trainer::{Outcome, Trainer};
use crate::upload::{Arriving, Uploaded};
use crate::verify::{Presentation, Verifier};
use crate::{output, pretrained, progress};
use events::Events;

/// Steps in a row that may be skipped before the run ends with advice.
const MOST_SKIPPED: u64 = 20;

/// What makes a trainer from a configuration, the number of identities and the steps of an epoch.
type Build = fn(&Config, usize, u64) -> anyhow::Result<Trainer>;

/// What a run is going to do.
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) steps_per_epoch: u64,
    /// Steps in all.
    pub(crate) total: u64,
    pub(crate) identities: usize,
    pub(crate) images: usize,
}

/// Everything that a run works with.
struct Session {
    run: RunFolder,
    events: Events,
    plan: Plan,
    train: Arc<dyn Source>,
    loader: Loader,
    verifier: Option<Verifier>,
    trainer: Trainer,
    progress: Progress,
    display: progress::Progress,
    /// The step of the newest checkpoint.
    saved: Option<u64>,
    started: Instant,
    /// Seconds of the sittings before.
    seconds_before: f64,
}

/// Begins or goes on with a run, and leaves its summary.
///
/// # Errors
/// If the configuration, the data or a file is not right, the numbers stop being finite, or the user interrupts; then a
/// checkpoint is left and the message says how to go on.
pub(crate) fn run(arguments: &TrainArguments) -> anyhow::Result<()> {
    interrupt::listen()?;
    let mut session = if arguments.resume { resume(arguments)? } else { begin(arguments)? };
    match session.work() {
        Ok(()) => session.conclude(arguments),
        Err(error) if error.is::<Interrupted>() => Err(session.leave()?),
        Err(error) => Err(error),
    }
}

fn begin(arguments: &TrainArguments) -> anyhow::Result<Session> {
    let mut chosen = config::choose(&arguments.config)?;
    pretrained::adopt(&mut chosen)?;
    let faces = sources::open(&mut chosen)?;
    chosen.notes.extend(pretrained::advice(&chosen.config, faces.train.len()));
    let stem = chosen.name.clone();
    let (census, source) = (Census::of(&*faces.train, faces.planted.as_ref()), faces.train.clone());
    let planted = faces.planted.clone();
    // Made last, so that a run that cannot begin leaves no folder: everything that can fail on its own comes before.
    let make_run = |computer: &Computer| {
        let run = RunFolder::create(&arguments.runs, arguments.name.as_deref(), &stem)?;
        run.write_json(PROVENANCE, &outcome::provenance(&census, computer))?;
        if let Some(planted) = &planted {
            planted.write(&run.path().join("noise.csv"), &*source)?;
        }
        Ok(run)
    };
    if let Some(name) = &arguments.name {
        RunFolder::check_free(&arguments.runs, name)?;
    }
    let mut session = Session::new(chosen, faces, Trainer::new, make_run)?;
    session.run.write("config.toml", &session.plan.config.to_toml()?)?;
    session.events.write([])?;
    session.before_training()?;
    Ok(session)
}

fn resume(arguments: &TrainArguments) -> anyhow::Result<Session> {
    let run = RunFolder::existing(&arguments.runs, arguments.name.as_deref().unwrap_or_default())?;
    let config = config::resume(&run.config(), &arguments.config.set)?;
    let mut chosen = Chosen::resumed(config, run.name());
    let faces = sources::open(&mut chosen)?;
    let build: Build = if run.last_checkpoint()?.is_some() { Trainer::for_checkpoint } else { Trainer::new };
    let take_run = |computer: &Computer| {
        outcome::note_computer(&run, computer)?;
        Ok(run)
    };
    let mut session = Session::new(chosen, faces, build, take_run)?;
    if let Some(progress) = checkpoint::load_last(&session.run, &mut session.trainer)? {
        session.go_on_from(progress)?;
    } else {
        session.say("the run has no checkpoint yet: it begins anew");
        // What was logged before the first checkpoint is logged again.
        session.run.write("metrics.jsonl", "")?;
        session.events.write([])?;
        session.before_training()?;
    }
    session.run.write("config.toml", &session.plan.config.to_toml()?)?;
    Ok(session)
}

impl Session {
    fn new(
        chosen: Chosen,
        faces: Faces,
        build: Build,
        make_run: impl FnOnce(&Computer) -> anyhow::Result<RunFolder>,
    ) -> anyhow::Result<Self> {
        let Chosen { config, notes, .. } = chosen;
        let Faces { train, pairs, .. } = faces;
        let loader = Loader::new(train.clone(), &sources::loader_config(&config)).context("[train]")?;
        loader.check_sizes()?;
        let plan = Plan::new(config, &*train, &loader);
        let trainer = build(&plan.config, plan.identities, plan.steps_per_epoch)?;
        let verifier = pairs.map(|set| Verifier::new(set, presentation(&plan.config))).transpose()?;
        let run = make_run(&trainer.computer)?;
        let events = Events::of(&run)?;
        let display = progress::Progress::new(&run.name(), "img", plan.total * plan.images_per_step());
        let session = Self {
            run,
            events,
            plan,
            train,
            loader,
            verifier,
            trainer,
            progress: Progress::default(),
            display,
            saved: None,
            started: Instant::now(),
            seconds_before: 0.0,
        };
        session.introduce(&notes);
        Ok(session)
    }

    /// Steps, verifications and checkpoints until the last step is done and verified.
    fn work(&mut self) -> anyhow::Result<()> {
        let plan = &self.plan;
        let (total, per_epoch, accumulate) = (plan.total, plan.steps_per_epoch, plan.config.train.accumulate);
        let (verify_every, save_every) = (plan.config.eval.every, plan.config.train.checkpoint_every);
        let first = self.progress.step;
        let batches = self.loader.batches(first * accumulate, total * accumulate);
        let mut batches = Arriving::at(&self.trainer.computer, self.plan.config.model.input_size, batches);
        loop {
            let step = self.progress.step;
            if 0 < step && verify_every.is_due(step, per_epoch, total) {
                self.verify()?;
            }
            if 0 < step && save_every.is_due(step, per_epoch, total) {
                self.save()?;
            }
            if total <= step {
                return Ok(());
            }
            interrupt::check()?;
            self.step(&mut batches)?;
        }
    }

    fn step(&mut self, batches: &mut Arriving) -> anyhow::Result<()> {
        let start = Instant::now();
        let batches = next_batches(batches, self.plan.config.train.accumulate)?;
        self.note_replaced(&batches);
        let images: usize = batches.iter().map(|batch| batch.labels.len()).sum();
        let outcome = self.trainer.step_on(self.progress.step, self.plan.total, batches)?;
        self.progress.step += 1;
        self.progress.images += images as u64;
        self.progress.train_seconds += start.elapsed().as_secs_f64();
        match outcome {
            Outcome::Moved(figures) => self.note_moved(figures),
            Outcome::Skipped(why) => self.note_skipped(&why),
        }
    }

    /// Baselines and the untrained network, before the first step.
    fn before_training(&mut self) -> anyhow::Result<()> {
        let Some(verifier) = self.verifier.as_ref().filter(|_| self.plan.config.eval.baselines) else {
            return Ok(());
        };
        self.say("verifying by raw pixels, HOG, pixel differences and the untrained network");
        let baselines = verifier.baselines(&self.train, self.plan.config.seed)?;
        let untrained = verifier.verify(&self.trainer.backbone, |_| ())?.verification.accuracy;
        self.progress.baselines = Some(baselines);
        self.progress.untrained = Some(untrained);
        self.log(metrics::baselines(&baselines, untrained))?;
        self.say(&metrics::baseline_line(&baselines, untrained));
        Ok(())
    }

    /// Verifies the network of this step, unless that was done before an interruption.
    fn verify(&mut self) -> anyhow::Result<()> {
        let step = self.progress.step;
        let Some(verifier) = &self.verifier else { return Ok(()) };
        if self.progress.verified.as_ref().is_some_and(|(verified, _)| *verified == step) {
            return Ok(());
        }
        let verified = verifier.verify(&self.trainer.backbone, |_| ())?;
        let verification = verified.verification.clone();
        self.log(metrics::verification(step, &self.plan, &verification))?;
        self.say(&metrics::verification_line(step, &self.plan, &verification));
        verified.keep(self.run.path())?;
        verified.draw(self.run.path())?;
        let accuracy = verification.accuracy;
        self.progress.hardest = Some(verified.hardest()?);
        self.progress.verified = Some((step, verification));
        if self.progress.best.is_none_or(|(_, best)| best < accuracy) {
            self.progress.best = Some((step, accuracy));
            self.save_weights("best.safetensors")?;
        }
        Ok(())
    }

    fn save(&mut self) -> anyhow::Result<()> {
        if self.saved == Some(self.progress.step) {
            return Ok(());
        }
        self.progress.seconds = self.seconds();
        checkpoint::save(&self.run, &self.plan, &self.trainer, &self.progress)?;
        self.saved = Some(self.progress.step);
        self.run.prune_checkpoints(self.plan.config.train.keep_checkpoints)
    }

    fn save_weights(&self, name: &str) -> anyhow::Result<()> {
        let path = self.run.path().join(name);
        checkpoint::save_weights(&path, &self.run, &self.plan, &self.trainer, &self.progress)
    }

    /// What is left at the end: weights, summary, curves, report, last words.
    fn conclude(&mut self, arguments: &TrainArguments) -> anyhow::Result<()> {
        self.display.finish();
        self.save_weights(WEIGHTS)?;
        let summary = outcome::summary(&self.run, &self.plan, &self.progress, (self.seconds(), &self.trainer.computer));
        self.run.write_json("summary.json", &summary)?;
        if let Some(curves) = metrics::curves(&self.run)? {
            self.run.write("curves.svg", &curves)?;
        }
        self.report()?;
        if arguments.json {
            output::json(&summary)?;
        }
        eprint!("{}", outcome::last_words(&self.run, &self.plan, &self.progress, self.seconds()));
        Ok(())
    }

    fn report(&self) -> anyhow::Result<()> {
        let set = self.verifier.as_ref().map(|verifier| &verifier.set);
        let computer = &self.trainer.computer;
        let contents = outcome::report(&self.run, &self.plan, &self.progress, (self.seconds(), computer))?;
        report::write(self.run.path(), &Contents { hardest: set.zip(self.progress.hardest.as_ref()), ..contents })
    }

    /// Leaves a checkpoint for the user who interrupts; the error says how to go on.
    fn leave(&mut self) -> anyhow::Result<anyhow::Error> {
        self.display.finish();
        let go_on = format!("cargo xtask train --resume --name {}", self.run.name());
        self.save().context("interrupted, and the checkpoint could not be written")?;
        let (step, total) = (self.progress.step, self.plan.total);
        Ok(anyhow::Error::new(Interrupted)
            .context(format!("stopped after step {step} of {total}; go on with: {go_on}")))
    }

    fn go_on_from(&mut self, progress: Progress) -> anyhow::Result<()> {
        let step = progress.step;
        if self.plan.total < step {
            bail!(
                "train.epochs: the run has come to step {step}, {} epochs end at step {}; expected more epochs",
                self.plan.config.train.epochs,
                self.plan.total
            );
        }
        self.run.cut_metrics(step)?;
        self.events.write(self.run.metrics_lines()?.iter().map(|(_, line)| line))?;
        self.saved = Some(step);
        self.seconds_before = progress.seconds;
        self.progress = progress;
        self.say(&format!("goes on from step {step} of {}", self.plan.total));
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn say(&self, line: &str) {
        self.display.say(line);
    }
}

impl Plan {
    fn new(config: Config, train: &dyn Source, loader: &Loader) -> Self {
        let steps_per_epoch = (loader.batches_per_epoch() / config.train.accumulate).max(1);
        Self {
            total: steps_per_epoch * config.train.epochs,
            steps_per_epoch,
            identities: train.num_identities(),
            images: train.len(),
            config,
        }
    }

    fn images_per_step(&self) -> u64 {
        self.config.train.batch_size as u64 * self.config.train.accumulate
    }

    /// Epochs done after `step` steps.
    fn epochs(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_epoch as f64
    }
}

/// How the faces to verify are brought to the network.
pub(crate) fn presentation(config: &Config) -> Presentation {
    Presentation {
        mirror: config.eval.mirror.into(),
        normalisation: config.data.normalise,
        batch_size: config.eval.batch_size,
        image_size: config.model.input_size,
        workers: config.data.workers,
        cache_bytes: sources::cache_bytes(config),
    }
}

/// The batches of one step.
fn next_batches(batches: &mut Arriving, count: u64) -> anyhow::Result<Vec<Uploaded>> {
    let mut of_step = Vec::with_capacity(count as usize);
    for _ in 0..count {
        of_step.push(batches.next().context("the loader ended before the run")??);
    }
    Ok(of_step)
}
