//! Stage map: an [`Event`] comes in, a [`Record`] for one destination goes out, or nothing where the filter keeps it
//! back. Pure: the programs are compiled before, and they can neither wait nor reach out.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use ropeway_crds::{
    schema::OnViolation,
    worker_config::{IntegrationConfig, LaneConfig, SchemaConfig},
};
use ropeway_mapping::{
    CompileError, Context, DestinationMapping, EventAttributes, Input, IntegrationName, Limits, MapError, Mapped,
    Mapping, Program, Purpose, RunError, Schema, SchemaError, Violation, compile, run_key,
};

use crate::{decode::Event, fault, poison::Case};

/// What a destination is to get of an event.
#[derive(Clone, Debug)]
pub struct Record {
    /// The record as JSON.
    pub body: Bytes,
    /// The key by which the destination can tell a repeat.
    pub key: String,
    /// The attributes of the event that it was made of.
    pub attributes: Arc<EventAttributes>,
    /// How many of the vendor's items it is.
    pub weight: usize,
    /// Two records with equal numbers can't be in one request.
    pub apart: Option<u64>,
}

impl Record {
    /// A record that is one item and goes with any other.
    pub fn new(body: Bytes, key: String, attributes: Arc<EventAttributes>) -> Self {
        Self { body, key, attributes, weight: 1, apart: None }
    }
}

/// Programs that were compiled before: lanes often share one, and it is large.
#[derive(Debug, Default)]
pub struct Programs(HashMap<(String, Purpose), Program>);

impl Programs {
    /// The program for a purpose.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn compile(&mut self, source: &str, purpose: Purpose) -> Result<Program, CompileError> {
        let known = (source.to_owned(), purpose);
        if let Some(program) = self.0.get(&known) {
            return Ok(program.clone());
        }
        let program = compile(source, purpose)?;
        self.0.insert(known, program.clone());
        Ok(program)
    }
}

/// The compiled programs of one lane.
#[derive(Clone, Debug)]
pub struct LaneMapping {
    integration: IntegrationName,
    limits: Limits,
    mapping: Mapping,
    dedup_key: Option<Program>,
    order_key: Option<Program>,
    schema: Option<(Schema, OnViolation)>,
    /// Whether a program reads more of an event than its data.
    reads_context: bool,
    /// The configuration that it is part of, shared by all lanes of the Integration.
    whole: Arc<IntegrationConfig>,
    index: usize,
    /// The programs of `delivery.outcomes`, in their order.
    pub outcomes: Vec<Program>,
}

/// An expression or the schema of the configuration does not compile.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// An expression.
    #[error("{field} does not compile: {source}")]
    Expression {
        /// The field of the Integration's spec.
        field: String,
        /// What is wrong with it.
        #[source]
        source: CompileError,
    },
    /// The schema.
    #[error("schema does not compile: {0}")]
    Schema(#[source] SchemaError),
}

impl LaneMapping {
    /// Compiles everything that the lane with this number needs. All problems are reported at once.
    ///
    /// # Errors
    /// One for each expression that does not compile.
    pub fn compile(
        namespace: &str,
        integration: &Arc<IntegrationConfig>,
        index: usize,
        programs: &mut Programs,
    ) -> Result<Self, Vec<ProgramError>> {
        let lane: &LaneConfig = &integration.lanes[index];
        let mut errors = Vec::new();
        let mut program = |field: String, source: Option<&String>, purpose: Purpose| {
            let source = source?;
            programs
                .compile(source, purpose)
                .map_err(|source| errors.push(ProgramError::Expression { field, source }))
                .ok()
        };
        let at = |field: &str| format!("destinations[{}].{field}", lane.destination);
        let normalize = program("normalize".into(), integration.normalize.as_ref(), Purpose::Normalize);
        let filter = program(at("filter"), lane.filter.as_ref(), Purpose::Filter);
        let transform = program(at("transform"), lane.transform.as_ref(), Purpose::Transform);
        let dedup_key = program("dedup.key".into(), integration.dedup.as_ref().map(|dedup| &dedup.key), Purpose::Key);
        let ordering = integration.ordering.as_ref().map(|ordering| &ordering.key);
        let order_key = program("ordering.key".into(), ordering, Purpose::Key);
        let rules = lane.delivery.outcomes.iter().enumerate();
        let outcomes = rules
            .filter_map(|(index, rule)| {
                program(at(&format!("delivery.outcomes[{index}].when")), Some(&rule.when), Purpose::Outcome)
            })
            .collect();
        let schema = integration.schema.as_ref().and_then(|SchemaConfig { schema, on_violation }| {
            let compiled = Schema::compile(schema).map_err(|source| errors.push(ProgramError::Schema(source)));
            Some((compiled.ok()?, *on_violation))
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let reads_context = [&normalize, &filter, &transform].into_iter().flatten().any(Program::reads_metadata);
        let destination = DestinationMapping { name: lane.destination.clone(), filter, transform };
        Ok(Self {
            integration: IntegrationName { name: integration.name.clone(), namespace: namespace.to_owned() },
            limits: Limits::default(),
            mapping: Mapping { normalize, destinations: vec![destination] },
            dedup_key,
            order_key,
            schema,
            reads_context,
            whole: Arc::clone(integration),
            index,
            outcomes,
        })
    }

    /// What a child process needs to do the same.
    pub(crate) fn case(&self) -> Case {
        Case::of(&self.integration.namespace, &self.whole, self.index)
    }

    /// The record for this lane's destination as JSON; `None` where its filter keeps the event back.
    ///
    /// # Errors
    /// If an expression fails on this event or breaks a limit.
    pub fn record(&self, event: &Event) -> Result<Option<Bytes>, MapError> {
        fault::poisoned(event);
        let context = match self.reads_context {
            true => Context::new(&event.attributes, &self.integration),
            false => Context::unread(),
        };
        let normalized = self.mapping.normalize(Input { data: &event.data, context: &context }, &self.limits)?;
        let input = Input { data: &normalized, context: &context };
        let [destination] = self.mapping.destinations.as_slice() else {
            unreachable!("a lane's mapping has exactly one destination")
        };
        match destination.apply(input, &self.limits)? {
            Mapped::Filtered => Ok(None),
            Mapped::Record(data) => Ok(Some(data.to_json_bytes().into())),
        }
    }

    /// Whether an event has the shape that the Integration expects, and what becomes of it where it has not.
    ///
    /// # Errors
    /// Where it does not match.
    pub fn conforms(&self, event: &Event) -> Result<(), (Violation, OnViolation)> {
        let Some((schema, reaction)) = &self.schema else { return Ok(()) };
        schema.check(&event.data).map_err(|violation| (violation, *reaction))
    }

    /// The de-duplication key of an event, if the Integration asks for one.
    ///
    /// # Errors
    /// If the expression fails on this event.
    pub fn dedup_key(&self, event: &Event) -> Result<Option<String>, RunError> {
        let Some(program) = &self.dedup_key else { return Ok(None) };
        let context = Context::new(&event.attributes, &self.integration);
        run_key(program, Input { data: &event.data, context: &context }, &self.limits).map(Some)
    }

    /// Whether the Integration asks for order.
    pub fn is_ordered(&self) -> bool {
        self.order_key.is_some()
    }

    /// The key that an event is ordered by, if the Integration asks for order.
    ///
    /// # Errors
    /// If the expression fails on this event.
    pub fn order_key(&self, event: &Event) -> Result<Option<String>, RunError> {
        let Some(program) = &self.order_key else { return Ok(None) };
        let context = Context::new(&event.attributes, &self.integration);
        run_key(program, Input { data: &event.data, context: &context }, &self.limits).map(Some)
    }
}
