use super::*;

#[test]
fn figures_of_a_workload_that_is_not_run_again_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("results/all.json");
    let origin = Origin { versions: BTreeMap::new(), command: "first".into(), date: String::new() };
    let subject = |workload| Subject { workload, variant: "floor", metric: "speed", unit: "1/s", baseline: "floor" };
    let first = origin.figure(subject(Workload::F4), &[2.0], &[2.0]);
    write(&path, std::slice::from_ref(&first)).expect("written");
    let missing = origin.not_measured(subject(Workload::T1), Some(NotMeasured("nobody is there".into())));
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
