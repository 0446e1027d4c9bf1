//! Which algorithm to take: `auto`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trt_calib::Algorithm;
use trt_metrics::SQNR_LIMIT;

use crate::figures::mean_and_error;
use crate::rank::rank_tensors;
use crate::{EvaluateError, Evaluation, Evaluator, Run, Study};

/// How many dB of mean SQNR an algorithm must be better than the default to be taken in its stead.
///
/// Below that no user sees a difference.
pub const MARGIN_DB: f64 = 0.1;

/// How many standard errors the gain of an algorithm must exceed to be taken in the default's stead, of many samples;
/// fewer need more (Student's t). Below that, which one wins is a matter of the samples that were looked at.
pub const ERRORS: f64 = 2.0;

/// The same for an algorithm of a single tensor. More, since many are tried: of 32 that change nothing, chance lets one
/// gain 3 standard errors in 4 choices of 100.
pub const TRIAL_ERRORS: f64 = 3.0;

/// How far [`choose`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChooseOptions {
    /// How many of the worst tensors are tried with other algorithms than the model's; 0 for none.
    pub tensors: usize,
    /// The most evaluations for that.
    pub trials: usize,
    /// How many samples tell which tensors are the worst.
    pub ranked: usize,
}

impl Default for ChooseOptions {
    /// 8 tensors, 32 trials, ranked by 4 samples.
    fn default() -> Self {
        Self { tensors: 8, trials: 32, ranked: 4 }
    }
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Chosen {
    /// The algorithm for the model.
    pub algorithm: Algorithm,
    /// Why that one, in a sentence.
    pub because: String,
    /// Algorithms of single tensors, by ONNX value name.
    pub overrides: BTreeMap<String, Algorithm>,
    /// Every candidate on the selection split, in the order given.
    pub candidates: Vec<Candidate>,
    /// What was tried for single tensors, in order.
    pub trials: Vec<Trial>,
    /// The choice, overrides included, on the report split.
    pub report: Evaluation,
    /// The default on the report split, if it was not what was chosen and it gives scales.
    pub report_default: Option<Evaluation>,
    /// How many evaluations it took.
    pub evaluations: usize,
}

/// An algorithm that could have been chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Candidate {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Its figures on the selection split; absent where it gives no scales.
    pub evaluation: Option<Evaluation>,
    /// What became of it, in a sentence.
    pub verdict: String,
}

/// Another algorithm for one tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trial {
    /// The tensor.
    pub tensor: String,
    /// The algorithm that was tried for it.
    pub algorithm: Algorithm,
    /// Mean SQNR in dB on the selection split without it.
    pub before: f64,
    /// The same with it.
    pub after: f64,
    /// What a sample gains by it on average, in dB.
    #[serde(default)]
    pub gain: f64,
    /// The standard error of that.
    #[serde(default)]
    pub error: f64,
    /// Whether it was taken.
    pub taken: bool,
}

/// Gives the scales of an algorithm, with other algorithms for single tensors: by ONNX value name, threshold / 127, with
/// everything that the table would have (shared ranges, what is kept).
///
/// # Errors
/// Why the algorithm gives none.
pub type Scales<'a> =
    dyn Fn(Algorithm, &BTreeMap<String, Algorithm>) -> Result<BTreeMap<String, f32>, String> + 'a;

/// Chooses among `algorithms`, the first of which is the default, by simulated INT8 on the samples of `selection`.
///
/// **The rule.** (1) By how often INT8 says what FP32 says ([`Evaluation::agreement`]), every candidate stays whose
/// difference to the best one is at most its own standard error, sample by sample; without a task all stay. (2) Of those
/// the one with the highest mean SQNR ([`Evaluation::mean_sqnr`]) is taken, (3) but for the default, which is taken if it
/// stays unless a sample loses more than [`MARGIN_DB`] by it on average, and more than [`ERRORS`] standard errors of that;
/// of equals the one that was named first. Agreement is what a user wants and is coarse; SQNR tells apart what agreement
/// cannot, and margin and error keep chance from deciding.
///
/// **Single tensors.** Those that are rounded worst by their own scale are tried with each other algorithm that gives
/// them another scale, one after the other; what gains a sample more than [`MARGIN_DB`] on average, and more than
/// [`TRIAL_ERRORS`] standard errors of that, and does not lower agreement is taken. All of that sees the selection split
/// only.
///
/// **The report** is made on the samples of `report`, once, after everything is chosen; neither calibration nor
/// selection may have seen them, for which the caller answers.
///
/// # Errors
/// [`EvaluateError::NoCandidate`], and as for [`Evaluator::run`] and [`Study::int8`].
pub fn choose(
    study: &Study,
    algorithms: &[Algorithm],
    scales: &Scales,
    selection: &Evaluator,
    report: &Evaluator,
    options: &ChooseOptions,
) -> Result<Chosen, EvaluateError> {
    let mut chooser = Chooser { study, scales, evaluations: 0 };
    let none = BTreeMap::new();
    let mut runs = Vec::new();
    for &algorithm in algorithms {
        runs.push(match scales(algorithm, &none) {
            Ok(found) => Ok(chooser.run(&found, selection)?),
            Err(reason) => Err(reason),
        });
    }
    let (best, because) = pick(algorithms, &runs)?;
    let algorithm = algorithms[best];
    let mut chosen = Chosen {
        algorithm,
        because,
        overrides: BTreeMap::new(),
        candidates: verdicts(algorithms, &runs, best),
        trials: Vec::new(),
        report: Evaluation::clone(evaluation_of(&runs[best])?),
        report_default: None,
        evaluations: 0,
    };
    if let Ok(run) = &runs[best] {
        chooser.single_tensors(&mut chosen, algorithms, run, selection, options)?;
    }
    let final_scales = chooser.derive(algorithm, &chosen.overrides)?;
    chosen.report = chooser.run(&final_scales, report)?.evaluation;
    let default = algorithms[0];
    if (default != algorithm || !chosen.overrides.is_empty())
        && let Ok(found) = scales(default, &none)
    {
        chosen.report_default = Some(chooser.run(&found, report)?.evaluation);
    }
    chosen.evaluations = chooser.evaluations;
    Ok(chosen)
}

/// A candidate's run, or why there is none.
type Tried = Result<Run, String>;

fn evaluation_of(run: &Tried) -> Result<&Evaluation, EvaluateError> {
    let reason = |reason: &String| EvaluateError::NoCandidate { reason: reason.clone() };
    run.as_ref().map(|run| &run.evaluation).map_err(reason)
}

struct Chooser<'a> {
    study: &'a Study<'a>,
    scales: &'a Scales<'a>,
    evaluations: usize,
}

impl Chooser<'_> {
    fn run(&mut self, scales: &BTreeMap<String, f32>, evaluator: &Evaluator) -> Result<Run, EvaluateError> {
        self.evaluations += 1;
        evaluator.run(self.study.int8(scales)?.0.as_ref())
    }

    fn derive(
        &self,
        algorithm: Algorithm,
        overrides: &BTreeMap<String, Algorithm>,
    ) -> Result<BTreeMap<String, f32>, EvaluateError> {
        (self.scales)(algorithm, overrides).map_err(|reason| EvaluateError::NoCandidate { reason })
    }

    fn single_tensors(
        &mut self,
        chosen: &mut Chosen,
        algorithms: &[Algorithm],
        run: &Run,
        selection: &Evaluator,
        options: &ChooseOptions,
    ) -> Result<(), EvaluateError> {
        if options.tensors == 0 || options.trials == 0 || algorithms.len() < 2 {
            return Ok(());
        }
        let mut scales = self.derive(chosen.algorithm, &chosen.overrides)?;
        let mut current = run.clone();
        let mut ranked = rank_tensors(self.study, &scales, selection, options.ranked)?;
        ranked.retain(|loss| loss.own.is_some());
        let own = |loss: &crate::TensorLoss| loss.own.and_then(|own| own.sqnr).unwrap_or(f64::NEG_INFINITY);
        ranked.sort_by(|a, b| own(a).total_cmp(&own(b)));
        let mut trials = options.trials;
        for tensor in ranked.into_iter().take(options.tensors) {
            let mut tried: Vec<f32> = scales.get(&tensor.name).copied().into_iter().collect();
            let mut best: Option<(Algorithm, BTreeMap<String, f32>, Run, usize)> = None;
            for &algorithm in algorithms.iter().filter(|&&other| other != chosen.algorithm) {
                let mut overrides = chosen.overrides.clone();
                overrides.insert(tensor.name.clone(), algorithm);
                let Ok(other) = (self.scales)(chosen.algorithm, &overrides) else { continue };
                let Some(&scale) = other.get(&tensor.name) else { continue };
                // A scale within a thousandth of one that was tried changes nothing that could be measured.
                if trials == 0 || tried.iter().any(|known| (scale / known - 1.0).abs() < 1e-3) {
                    continue;
                }
                trials -= 1;
                tried.push(scale);
                let run = self.run(&other, selection)?;
                let (before, after) = (sqnr(&current), sqnr(&run));
                let gain = Gain::of(&run, &current);
                chosen.trials.push(Trial {
                    tensor: tensor.name.clone(),
                    algorithm,
                    before,
                    after,
                    gain: gain.mean,
                    error: gain.error,
                    taken: false,
                });
                let better = gain.is_real(TRIAL_ERRORS) && agreement(&run) >= agreement(&current);
                if better && best.as_ref().is_none_or(|(_, _, best, _)| after > sqnr(best)) {
                    best = Some((algorithm, other, run, chosen.trials.len() - 1));
                }
            }
            if let Some((algorithm, other, run, at)) = best {
                chosen.overrides.insert(tensor.name, algorithm);
                chosen.trials[at].taken = true;
                (scales, current) = (other, run);
            }
        }
        Ok(())
    }
}

fn sqnr(run: &Run) -> f64 {
    run.evaluation.mean_sqnr.unwrap_or(-SQNR_LIMIT)
}

fn agreement(run: &Run) -> f64 {
    run.evaluation.agreement.as_ref().map_or(0.0, |share| share.mean)
}

/// What a sample gains in dB, on average.
#[derive(Debug, Clone, Copy)]
struct Gain {
    mean: f64,
    error: f64,
    samples: usize,
}

impl Gain {
    /// By one network in another's stead, on the samples that both have seen.
    fn of(run: &Run, instead_of: &Run) -> Self {
        let pairs = run.sqnrs.iter().zip(&instead_of.sqnrs);
        let gains: Vec<f64> = pairs.filter_map(|(own, other)| Some((*own)? - (*other)?)).collect();
        if gains.is_empty() {
            return Self { mean: 0.0, error: 0.0, samples: 0 };
        }
        let (mean, error) = mean_and_error(&gains);
        Self { mean, error, samples: gains.len() }
    }

    /// Whether it is worth having, and as unlikely by chance as `errors` standard errors are of many samples. Fewer need
    /// more of them; one sample proves nothing.
    fn is_real(&self, errors: f64) -> bool {
        self.samples > 1 && self.mean > MARGIN_DB.max(student(errors, self.samples - 1) * self.error)
    }
}

/// As many standard errors of a mean with so many degrees of freedom (Student's t) as are as unlikely as `z` of a normal
/// distribution. (D. L. Wallace, "Bounds on Normal Approximations to Student's and the Chi-Square Distributions", 1959,
/// solved for t; from 2 degrees on it is within 5 %, and above for 1.)
fn student(z: f64, freedom: usize) -> f64 {
    let n = freedom as f64;
    let normal = z * (8.0 * n + 3.0) / (8.0 * n + 1.0);
    (n * (normal * normal / n).exp_m1()).sqrt()
}

/// The position of the one to take, and why. See [`choose`] for the rule.
fn pick(algorithms: &[Algorithm], runs: &[Tried]) -> Result<(usize, String), EvaluateError> {
    let known: Vec<(usize, &Run)> =
        runs.iter().enumerate().filter_map(|(at, run)| Some((at, run.as_ref().ok()?))).collect();
    let mut most: Option<(usize, &Run)> = None;
    for &(at, run) in &known {
        let better = |(_, most): (usize, &Run)| (agreement(run), sqnr(run)) > (agreement(most), sqnr(most));
        if most.is_none_or(better) {
            most = Some((at, run));
        }
    }
    let Some((_, most)) = most else {
        let reason = runs.iter().find_map(|run| run.as_ref().err().cloned());
        return Err(EvaluateError::NoCandidate {
            reason: reason.unwrap_or_else(|| "there are none".to_owned()),
        });
    };
    let close: Vec<(usize, &Run)> = known.iter().copied().filter(|(_, run)| stays(run, most)).collect();
    let mut best = close[0];
    for &(at, run) in &close[1..] {
        if sqnr(run) > sqnr(best.1) {
            best = (at, run);
        }
    }
    let name = algorithms[best.0];
    let figure = sqnr(best.1);
    let what = best.1.evaluation.agreement.as_ref().map_or("all outputs", |share| share.what.as_str());
    let among = match (close.len(), known.len()) {
        (1, n) if n > 1 && best.1.evaluation.agreement.is_some() => {
            return Ok((best.0, format!("`{name}` has the highest {what}, beyond its standard error")));
        }
        (close, all) if close < all => {
            format!("of {close} that do not differ in {what} by more than its error, ")
        }
        _ => String::new(),
    };
    if best.0 != 0
        && let Some((_, default)) = close.iter().find(|(at, _)| *at == 0)
        && let gain = Gain::of(best.1, default)
        && !gain.is_real(ERRORS)
    {
        let Gain { mean, error, .. } = gain;
        let default = algorithms[0];
        let because = format!(
            "{among}`{name}` gains {mean:.2} ± {error:.2} dB over the default, `{default}`, which proves nothing"
        );
        return Ok((0, because));
    }
    Ok((best.0, format!("{among}`{name}` has the highest mean SQNR: {figure:.2} dB")))
}

/// Whether a candidate's agreement is within the standard error of its difference to that of the best one.
fn stays(run: &Run, best: &Run) -> bool {
    let differences: Vec<f64> =
        best.shares.iter().zip(&run.shares).filter_map(|(best, own)| Some((*best)? - (*own)?)).collect();
    if differences.is_empty() {
        return true;
    }
    let (mean, error) = mean_and_error(&differences);
    mean <= error + 1e-12
}

fn verdicts(algorithms: &[Algorithm], runs: &[Tried], best: usize) -> Vec<Candidate> {
    let verdict = |(at, (&algorithm, run)): (usize, (&Algorithm, &Tried))| {
        let verdict = match run {
            Err(reason) => format!("gives no scales: {reason}"),
            Ok(_) if at == best => "chosen".to_owned(),
            Ok(run) => {
                let share = |run: &Run| run.evaluation.agreement.as_ref().map(|share| share.mean);
                let chosen = runs[best].as_ref().ok();
                let agreement =
                    share(run).zip(chosen.and_then(share)).map(|(own, best)| 100.0 * (own - best));
                let difference = chosen.map_or(0.0, |chosen| sqnr(run) - sqnr(chosen));
                match agreement {
                    Some(points) => format!("{points:+.2} points of agreement, {difference:+.2} dB"),
                    None => format!("{difference:+.2} dB"),
                }
            }
        };
        Candidate { algorithm, evaluation: run.as_ref().ok().map(|run| run.evaluation.clone()), verdict }
    };
    algorithms.iter().zip(runs).enumerate().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_need_more_standard_errors() {
        // Quantiles of Student's t at the probability of z, from scipy.stats.t.isf(norm.sf(z), n).
        for (z, freedom, exact) in [
            (2.0, 2, 4.53),
            (2.0, 4, 2.87),
            (2.0, 100, 2.03),
            (3.0, 4, 6.62),
            (3.0, 11, 3.85),
            (3.0, 95, 3.08),
        ] {
            let found = student(z, freedom);
            assert!((found / exact - 1.0).abs() < 0.05, "{z} {freedom}: {found} is not {exact}");
        }
        let gain = |mean, error, samples| Gain { mean, error, samples };
        for (gain, expected) in [
            (gain(5.0, 0.0, 1), false),
            (gain(0.38, 0.09, 5), false),
            (gain(0.38, 0.09, 50), true),
            (gain(0.05, 0.001, 50), false),
            (gain(-5.0, 0.1, 50), false),
            (gain(f64::NAN, 0.1, 50), false),
        ] {
            assert_eq!(gain.is_real(TRIAL_ERRORS), expected, "{gain:?}");
        }
    }
}
