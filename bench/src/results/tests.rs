use super::*;
use crate::variant::Variant;

fn latest() -> Vec<Figure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/latest.json");
    serde_json::from_slice(&fs::read(path).expect("the results are committed")).expect("the results can be read")
}

#[test]
fn the_committed_results_have_every_workload_and_every_variant_of_it() {
    let figures = latest();
    let has = |workload, variant: &str| {
        let mut of = figures.iter().filter(|figure| figure.workload == workload && figure.variant == variant);
        of.any(|figure| {
            figure.median.is_some() || figure.note.as_ref().is_some_and(|note| note.starts_with("not measured: "))
        })
    };
    for workload in [Workload::T1, Workload::T2] {
        for variant in Variant::ALL {
            assert!(has(workload, variant.name()), "{workload:?} of {}", variant.name());
        }
    }
    assert!(has(Workload::O1, "1 lane") && figures.iter().filter(|figure| figure.workload == Workload::O1).count() > 1);
    assert!(has(Workload::F4, "one hangs") && has(Workload::F4, "all well"));
}

#[test]
fn every_committed_figure_says_when_how_and_with_what_it_was_measured() {
    for figure in latest() {
        assert!(figure.date.parse::<jiff::Timestamp>().is_ok(), "{figure:?}");
        assert!(figure.command.starts_with("ropeway-bench run"), "{figure:?}");
        for part in ["nats-server", "rustc", "ropeway", "kernel", "sync_interval"] {
            assert!(figure.versions.contains_key(part), "{part} of {figure:?}");
        }
    }
}

#[test]
fn figures_of_a_workload_that_is_not_run_again_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("results/all.json");
    let origin = Origin { versions: BTreeMap::new(), command: "first".into(), date: String::new() };
    let subject = |workload| Subject { workload, variant: "floor", metric: "speed", unit: "1/s", baseline: "floor" };
    let first = origin.figure(subject(Workload::F4), &[2.0], &[2.0]);
    write(&path, std::slice::from_ref(&first)).expect("written");
    let missing = origin.not_measured(subject(Workload::T1), Some("nobody is there"));
    write(&path, std::slice::from_ref(&missing)).expect("written");
    let read: Vec<Figure> = serde_json::from_slice(&fs::read(&path).expect("there")).expect("readable");
    assert_eq!(read, [missing, first]);
}

#[test]
fn a_figure_is_the_median_with_three_digits_and_its_ratio_is_of_its_own_round() {
    let origin = Origin { versions: BTreeMap::new(), command: String::new(), date: String::new() };
    let subject = Subject { workload: Workload::T1, variant: "go", metric: "speed", unit: "1/s", baseline: "floor" };
    let figure = origin.figure(subject, &[10_234.0, 20_000.0, 5_000.0], &[20_468.0, 20_000.0, 20_000.0]);
    assert_eq!((figure.median, figure.ratio_to_floor), (Some(10_200.0), Some(0.5)));
    assert_eq!(figure.range, Some([5_000.0, 20_000.0]));
}
