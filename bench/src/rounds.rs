//! Rounds: everything that is compared takes its turn in each, forwards and backwards, and figures are made of the samples.

use std::fmt::Debug;

use crate::{
    Error,
    figures::Metric,
    results::{Figure, Origin, Subject},
    workload::{NotMeasured, Workload},
};

/// What is compared, in how many rounds.
#[derive(Clone, Debug)]
pub struct Rounds<'a> {
    workload: Workload,
    pairs: usize,
    contenders: Vec<Contender<'a>>,
}

/// One that is compared.
#[derive(Clone, Debug)]
struct Contender<'a> {
    name: &'a str,
    missing: Option<NotMeasured>,
}

impl<'a> Rounds<'a> {
    /// So many rounds of these. The first is what the others are compared with.
    #[must_use]
    pub fn of(workload: Workload, pairs: usize, names: &[&'a str]) -> Self {
        Self::of_measurable(workload, pairs, names.iter().map(|name| (*name, Ok(()))))
    }

    /// The same, where some can't be measured: their figures say why.
    #[must_use]
    pub fn of_measurable(
        workload: Workload,
        pairs: usize,
        names: impl IntoIterator<Item = (&'a str, Result<(), NotMeasured>)>,
    ) -> Self {
        let contender =
            |(name, measurable): (&'a str, Result<(), NotMeasured>)| Contender { name, missing: measurable.err() };
        Self { workload, pairs, contenders: names.into_iter().map(contender).collect() }
    }

    /// Takes a sample of each in each round, and makes figures of them. Each is told by its place.
    ///
    /// # Errors
    /// The first of `once`.
    pub async fn measure<S: Debug>(
        &self,
        metrics: &[Metric<S>],
        origin: &Origin,
        mut once: impl AsyncFnMut(usize) -> Result<S, Error>,
    ) -> Result<Vec<Figure>, Error> {
        let mut samples: Vec<Vec<S>> = self.contenders.iter().map(|_| Vec::new()).collect();
        for round in 0..self.pairs {
            for place in self.order(round) {
                let sample = once(place).await?;
                println!("{:?} {} {}: {sample:.2?}", self.workload, round + 1, self.contenders[place].name);
                samples[place].push(sample);
            }
        }
        Ok(self.figures(metrics, &samples, origin))
    }

    /// A-B-C-C-B-A: what drifts during the run meets all alike.
    fn order(&self, round: usize) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..self.contenders.len()).filter(|place| self.contenders[*place].missing.is_none()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        order
    }

    fn figures<S>(&self, metrics: &[Metric<S>], samples: &[Vec<S>], origin: &Origin) -> Vec<Figure> {
        let baseline = self.contenders.first().map_or("", |first| first.name);
        let mut figures = Vec::new();
        for (metric, unit, of) in metrics {
            let values: Vec<Vec<f64>> = samples.iter().map(|taken| taken.iter().map(of).collect()).collect();
            for (Contender { name, missing }, of) in self.contenders.iter().zip(&values) {
                let subject = Subject { workload: self.workload, variant: name, metric, unit, baseline };
                figures.push(match missing {
                    None => origin.figure(subject, of, &values[0]),
                    Some(missing) => origin.not_measured(subject, Some(missing.clone())),
                });
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn each_has_its_turn_in_each_round_and_who_is_missing_says_why() {
        let origin = Origin { versions: BTreeMap::new(), command: String::new(), date: String::new() };
        let missing = NotMeasured("nobody is there".into());
        let names = [("floor", Ok(())), ("gone", Err(missing)), ("other", Ok(()))];
        let rounds = Rounds::of_measurable(Workload::T5, 3, names);
        let mut order = Vec::new();
        let once = async |place: usize| {
            order.push(place);
            Ok(f64::from(u32::try_from(order.len()).expect("few")))
        };
        let figures = rounds.measure(&[("speed", "1/s", |sample| *sample)], &origin, once).await.expect("figures");
        assert_eq!(order, [0, 2, 2, 0, 0, 2]);
        let found: Vec<_> = figures.iter().map(|it| (&*it.variant, &*it.baseline, it.median, it.pairs)).collect();
        let expected = [("floor", "floor", Some(4.0), 3), ("gone", "floor", None, 0), ("other", "floor", Some(3.0), 3)];
        assert_eq!(found, expected);
        // 2/1, 3/4, 6/5.
        assert_eq!(figures[2].ratio_to_floor, Some(1.2));
        assert_eq!(figures[1].note.as_deref(), Some("not measured: nobody is there"));
    }
}
