//! Whether the time of judging a value grows with its size, or doubles with each level of it.
//!
//! A schema is read as an automaton: a state is a schema in its place, a step goes from a value to one of its children, and
//! judging a value walks all ways through it at once. Their number grows exponentially with depth exactly if some state leads
//! back to itself in two ways over the same children. That is looked for among pairs of states.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use petgraph::{
    // The other one of the library's recurses.
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};
use serde_json::Value;

use super::{
    SchemaError, cut,
    references::{IN_PLACE, reference, targets},
    step::{Step, steps},
};

/// The most places that all states together may lead through in place, and the most pairs of states that are looked at. A
/// schema that takes more can't be judged here, so it is refused.
const MOST_WORK: usize = 500_000;

/// Refuses a schema that judges some child twice in a way that comes back to itself.
pub(super) fn check_growth(schema: &Value) -> Result<(), SchemaError> {
    let mut automaton =
        Automaton { schema, graph: DiGraph::new(), known: HashMap::new(), taken: HashMap::new(), work: 0 };
    automaton.build()?;
    let rounds = kosaraju_scc(&automaton.graph);
    for round in &rounds {
        automaton.look(&round.iter().copied().collect())?;
    }
    Ok(())
}

/// A way from a schema to one that judges a child of its value.
#[derive(Clone, Debug)]
struct Way<'a> {
    step: Step<'a>,
    /// Which of `then` and `else` it lies in, of the schemas on the way that have both.
    branches: Vec<(*const Value, bool)>,
}

impl Way<'_> {
    /// Whether both may be walked for one child of one value.
    fn meets(&self, other: &Self) -> bool {
        let apart = |(of, branch): &(*const Value, bool)| other.branches.contains(&(*of, !branch));
        !self.branches.iter().any(apart) && self.step.meets(&other.step)
    }
}

struct Automaton<'a> {
    schema: &'a Value,
    graph: DiGraph<&'a Value, Way<'a>>,
    known: HashMap<*const Value, NodeIndex>,
    /// The steps of a schema alone: patterns are read once.
    taken: HashMap<*const Value, Rc<[(Step<'a>, &'a Value)]>>,
    work: usize,
}

impl<'a> Automaton<'a> {
    fn build(&mut self) -> Result<(), SchemaError> {
        let mut waiting = vec![self.state(self.schema).0];
        while let Some(state) = waiting.pop() {
            for (way, child) in self.ways(self.graph[state])? {
                let (child, is_new) = self.state(child);
                self.graph.add_edge(state, child, way);
                waiting.extend(is_new.then_some(child));
            }
        }
        Ok(())
    }

    fn state(&mut self, value: &'a Value) -> (NodeIndex, bool) {
        let value = self.meant(value);
        match self.known.get(&std::ptr::from_ref(value)) {
            Some(state) => (*state, false),
            None => {
                let state = self.graph.add_node(value);
                self.known.insert(value, state);
                (state, true)
            }
        }
    }

    /// What a schema that is a reference and nothing else refers to. A thousand of them are one state then.
    fn meant(&self, mut value: &'a Value) -> &'a Value {
        while let Some(fragment) = reference(value).and_then(|reference| reference.strip_prefix('#')) {
            let is_bare = value.as_object().is_some_and(|keywords| keywords.len() == 1);
            match targets(self.schema, fragment)[..] {
                [target] if is_bare => value = target,
                _ => break,
            }
        }
        value
    }

    /// The ways from a schema to its children's, through everything that judges the same value.
    fn ways(&mut self, from: &'a Value) -> Result<Vec<(Way<'a>, &'a Value)>, SchemaError> {
        let mut found = Vec::new();
        let mut waiting = vec![(from, Vec::new())];
        while let Some((value, branches)) = waiting.pop() {
            self.count(1, from)?;
            if let Some(fragment) = reference(value).and_then(|reference| reference.strip_prefix('#')) {
                waiting.extend(targets(self.schema, fragment).into_iter().map(|target| (target, branches.clone())));
            }
            for keyword in IN_PLACE {
                let Some(inner) = value.get(keyword) else { continue };
                let mut branches: Vec<_> = branches.clone();
                if matches!(keyword, "then" | "else") {
                    branches.push((std::ptr::from_ref(value), keyword == "then"));
                }
                match inner {
                    Value::Array(items) => waiting.extend(items.iter().map(|item| (item, branches.clone()))),
                    Value::Object(members) if matches!(keyword, "dependentSchemas" | "dependencies") => {
                        waiting.extend(members.values().map(|inner| (inner, branches.clone())));
                    }
                    Value::Object(_) => waiting.push((inner, branches)),
                    _ => {}
                }
            }
            let taken = self.taken.entry(value).or_insert_with(|| steps(value).into());
            let ways =
                taken.iter().map(|(step, child)| (Way { step: step.clone(), branches: branches.clone() }, *child));
            let before = found.len();
            found.extend(ways);
            self.count(found.len() - before, from)?;
        }
        Ok(found)
    }

    fn count(&mut self, work: usize, at: &Value) -> Result<(), SchemaError> {
        self.work += work;
        if self.work > MOST_WORK { Err(SchemaError::Unclear(cut(&place(self.schema, at)))) } else { Ok(()) }
    }

    /// Looks at the states of one round: those that all lead back to each other.
    fn look(&mut self, round: &HashSet<NodeIndex>) -> Result<(), SchemaError> {
        let is_split = round.iter().any(|state| {
            let ways: Vec<_> = self.graph.edges(*state).filter(|way| round.contains(&way.target())).collect();
            ways.iter()
                .enumerate()
                .any(|(at, way)| ways[at + 1..].iter().any(|other| way.weight().meets(other.weight())))
        });
        if !is_split {
            return Ok(());
        }
        let mut pairs = DiGraph::<Pair, Parted>::new();
        let mut known = HashMap::new();
        let mut waiting: Vec<_> = round.iter().map(|state| (*state, *state)).collect();
        while let Some(pair) = waiting.pop() {
            let from = *known.entry(pair).or_insert_with(|| pairs.add_node(pair));
            for (next, parted) in self.next(pair, round)? {
                let to = *known.entry(next).or_insert_with(|| {
                    waiting.push(next);
                    pairs.add_node(next)
                });
                pairs.add_edge(from, to, parted);
            }
        }
        for group in kosaraju_scc(&pairs) {
            let group: HashSet<_> = group.into_iter().collect();
            let Some(together) = group.iter().find(|pair| pairs[**pair].0 == pairs[**pair].1) else { continue };
            let comes_back = group
                .iter()
                .flat_map(|pair| pairs.edges(*pair))
                .any(|way| group.contains(&way.target()) && *way.weight() == Parted::Yes);
            if comes_back {
                let at = place(self.schema, self.graph[pairs[*together].0]);
                return Err(SchemaError::Doubles(cut(&at)));
            }
        }
        Ok(())
    }

    /// Where two ways through the same value lead for the same child of it.
    fn next(&mut self, (left, right): Pair, round: &HashSet<NodeIndex>) -> Result<Vec<(Pair, Parted)>, SchemaError> {
        let mut found = Vec::new();
        let of = |state| self.graph.edges(state).filter(|way| round.contains(&way.target())).collect::<Vec<_>>();
        let (lefts, rights) = (of(left), of(right));
        for one in &lefts {
            for other in &rights {
                // Twice the same way from one state is one way.
                let parted = if one.id() == other.id() { Parted::No } else { Parted::Yes };
                if parted == Parted::No || one.weight().meets(other.weight()) {
                    found.push(((one.target(), other.target()), parted));
                }
            }
        }
        let (work, at) = (lefts.len() * rights.len() + 1, self.graph[left]);
        self.count(work, at)?;
        Ok(found)
    }
}

/// Two states that judge the same value.
type Pair = (NodeIndex, NodeIndex);

/// Whether two ways are different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parted {
    Yes,
    No,
}

/// The JSON pointer of a schema within the whole.
fn place(schema: &Value, wanted: &Value) -> String {
    let mut waiting = vec![(schema, String::new())];
    while let Some((value, place)) = waiting.pop() {
        if std::ptr::eq(value, wanted) {
            return format!("#{place}");
        }
        match value {
            Value::Object(members) => waiting.extend(
                members
                    .iter()
                    .map(|(name, inner)| (inner, format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")))),
            ),
            Value::Array(items) => {
                waiting.extend(items.iter().enumerate().map(|(index, inner)| (inner, format!("{place}/{index}"))));
            }
            _ => {}
        }
    }
    "#".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(schema: Value) -> Option<SchemaError> {
        check_growth(&schema).err()
    }

    #[test]
    fn a_schema_that_reaches_itself_twice_for_one_child_is_refused_with_its_place() {
        let me = || json!({ "$ref": "#" });
        let x = |inner: Value| json!({ "properties": { "x": inner } });
        let refused = [
            x(json!({ "allOf": [me(), me()] })),
            json!({ "allOf": [x(me()), x(me())] }),
            json!({ "anyOf": [x(me()), { "patternProperties": { "^x": me() } }] }),
            json!({ "properties": { "x": me() }, "allOf": [{ "additionalProperties": me() }] }),
            json!({ "patternProperties": { "^a": me(), "b$": me() } }),
            json!({ "items": me(), "contains": me() }),
            json!({ "prefixItems": [me()], "contains": me() }),
            json!({ "if": x(me()), "then": x(me()) }),
            // In several steps, and by ways that part for more than one level.
            json!({ "$defs": { "a": x(json!({ "$ref": "#/$defs/b" })), "b": { "items": { "anyOf": [
                { "$ref": "#/$defs/a" }, { "type": "object", "allOf": [{ "$ref": "#/$defs/a" }] }] } } },
                "$ref": "#/$defs/a" }),
            json!({ "oneOf": [x(json!({ "items": me() })), x(json!({ "items": me() }))] }),
        ];
        for schema in refused {
            let found = verdict(schema.clone());
            assert!(matches!(found, Some(SchemaError::Doubles(_))), "{schema}: {found:?}");
        }
        assert_eq!(verdict(x(json!({ "allOf": [me(), me()] }))), Some(SchemaError::Doubles("#/properties/x".into())));
    }

    #[test]
    fn a_schema_that_reaches_itself_for_several_children_is_not() {
        let me = || json!({ "$ref": "#" });
        let x = |inner: Value| json!({ "properties": { "x": inner } });
        let accepted = [
            json!({ "properties": { "left": me(), "right": me() } }),
            json!({ "properties": { "a": me() }, "additionalProperties": me() }),
            json!({ "properties": { "a": me() }, "patternProperties": { "^x-": me(), "^y-": me() } }),
            json!({ "anyOf": [{ "type": "string" }, { "items": me() }, { "additionalProperties": me() }] }),
            json!({ "prefixItems": [me(), me()], "items": me() }),
            // One of both, never both.
            json!({ "if": { "required": ["x"] }, "then": x(me()), "else": x(json!({ "items": me() })) }),
            // Twice on the way in, once on the way round.
            json!({ "$defs": { "tree": { "properties": { "x": { "$ref": "#/$defs/tree" } } } },
                "allOf": [x(json!({ "$ref": "#/$defs/tree" })), x(json!({ "$ref": "#/$defs/tree" }))] }),
            // Both see the child, and only one of them goes on.
            json!({ "allOf": [x(me()), x(json!({ "type": "object", "required": ["id"] }))] }),
            // Two ways round over the same child that no sequence of children takes both of.
            json!({ "$defs": { "a": { "properties": { "y": me() } }, "b": { "properties": { "z": me() } } },
                "allOf": [x(json!({ "$ref": "#/$defs/a" })), x(json!({ "$ref": "#/$defs/b" }))] }),
        ];
        let deep = (0..100).fold(json!({}), |inner, _| json!({ "x": inner }));
        let deep = crate::Data::parse(deep.to_string().as_bytes()).unwrap();
        let began = std::time::Instant::now();
        for schema in accepted {
            assert_eq!(verdict(schema.clone()), None, "{schema}");
            let _ = crate::Schema::compile(&schema).unwrap().check(&deep);
        }
        // Doubled with each level it would take longer than anybody lives.
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }

    /// A schema of schemas is about as recursive as a schema gets.
    #[test]
    fn the_schema_of_schemas_is_accepted() {
        let any = || json!({ "$ref": "#" });
        let list = || json!({ "type": "array", "items": { "$ref": "#" } });
        let map = || json!({ "type": "object", "additionalProperties": { "$ref": "#" } });
        let schema = json!({ "type": ["object", "boolean"], "properties": {
            "items": { "anyOf": [any(), list()] }, "additionalItems": any(), "contains": any(), "not": any(),
            "properties": map(), "patternProperties": map(), "additionalProperties": any(), "definitions": map(),
            "dependencies": { "additionalProperties": { "anyOf": [any(), { "items": { "type": "string" } }] } },
            "if": any(), "then": any(), "else": any(), "allOf": list(), "anyOf": list(), "oneOf": list(),
        } });
        assert_eq!(verdict(schema), None);
    }

    #[test]
    fn what_takes_too_long_to_look_at_is_refused_in_time() {
        let began = std::time::Instant::now();
        let many: serde_json::Map<String, Value> =
            (0..8_000).map(|at| (format!("p{at}"), json!({ "$ref": "#" }))).collect();
        assert_eq!(verdict(json!({ "properties": many })), None);
        let patterns: serde_json::Map<String, Value> =
            (0..600).map(|at| (format!("^[a-z]{at}"), json!({ "$ref": "#" }))).collect();
        assert!(verdict(json!({ "patternProperties": patterns })).is_some());
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}
