//! The events that are measured with: an order of about 512 bytes, and the record that every variant but the floor makes
//! of it. Pure.

use std::hash::{DefaultHasher, Hasher as _};

use serde::Serialize;

/// What a transform does in every variant: nine fields, upper and lower case, a concatenation, a projection of a list.
/// Keys are written in alphabetical order everywhere, so that records can be compared byte by byte.
pub const TRANSFORM: &str = r#". = {
  "amount_cents": .total_cents,
  "country": upcase(string!(.customer.country)),
  "currency": upcase(string!(.currency)),
  "customer_id": .customer.id,
  "email": downcase(string!(.customer.email)),
  "event_id": .id,
  "items": map_values(array!(.items)) -> |item| { {"quantity": item.quantity, "sku": item.sku} },
  "name": string!(.customer.first_name) + " " + string!(.customer.last_name),
  "occurred_at": .occurred_at
}"#;

/// An event as a shop would send it.
#[derive(Debug, Serialize)]
struct Order {
    id: String,
    r#type: &'static str,
    occurred_at: String,
    customer: Customer,
    currency: &'static str,
    total_cents: u64,
    status: &'static str,
    items: Vec<Item>,
    note: &'static str,
}

#[derive(Debug, Serialize)]
struct Customer {
    id: String,
    email: String,
    first_name: &'static str,
    last_name: &'static str,
    country: &'static str,
}

#[derive(Debug, Serialize)]
struct Item {
    sku: String,
    title: &'static str,
    quantity: u64,
    price_cents: u64,
}

/// What becomes of it by [`TRANSFORM`].
#[derive(Debug, Serialize)]
struct Record {
    amount_cents: u64,
    country: String,
    currency: String,
    customer_id: String,
    email: String,
    event_id: String,
    items: Vec<Line>,
    name: String,
    occurred_at: String,
}

#[derive(Debug, Serialize)]
struct Line {
    quantity: u64,
    sku: String,
}

/// The id of the event with this number.
#[must_use]
pub fn id(number: u64) -> String {
    format!("evt-{number:010}")
}

/// The number in an id.
#[must_use]
pub fn number(id: &str) -> Option<u64> {
    id.strip_prefix("evt-")?.parse().ok()
}

/// The event with this number as JSON. `occurred_at` is in nanoseconds since 1970.
#[must_use]
pub fn event(number: u64, occurred_at: u64) -> Vec<u8> {
    serde_json::to_vec(&order(number, occurred_at)).expect("plain types are writable as JSON")
}

/// The record that every variant but the floor must make of it.
#[must_use]
pub fn record(number: u64, occurred_at: u64) -> Vec<u8> {
    let Order { id, r#type: _, occurred_at, customer, currency, total_cents, status: _, items, note: _ } =
        order(number, occurred_at);
    let record = Record {
        amount_cents: total_cents,
        country: customer.country.to_uppercase(),
        currency: currency.to_uppercase(),
        customer_id: customer.id,
        email: customer.email.to_lowercase(),
        event_id: id,
        items: items.into_iter().map(|item| Line { quantity: item.quantity, sku: item.sku }).collect(),
        name: format!("{} {}", customer.first_name, customer.last_name),
        occurred_at,
    };
    serde_json::to_vec(&record).expect("plain types are writable as JSON")
}

/// A number that stands for these bytes. Sums of it do not depend on the order.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn order(number: u64, occurred_at: u64) -> Order {
    let item = |place: u64, title| Item {
        sku: format!("SKU-{:05}", (number * 7 + place) % 100_000),
        title,
        quantity: 1 + (number + place) % 4,
        price_cents: 199 + (number * 31 + place) % 9_000,
    };
    Order {
        id: id(number),
        r#type: "order.created",
        occurred_at: occurred_at.to_string(),
        customer: Customer {
            id: format!("cus-{:07}", number % 1_000_000),
            email: format!("Ada.Lovelace.{}@Example.com", number % 10_000),
            first_name: "Ada",
            last_name: "Lovelace",
            country: "gb",
        },
        currency: "eur",
        total_cents: 1_000 + number % 90_000,
        status: "PAID",
        items: vec![item(0, "Engine part"), item(1, "Punched cards"), item(2, "Oil")],
        note: "at the door",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_about_512_bytes_and_carries_its_number() {
        let event = event(4_711, 1_790_000_000_000_000_000);
        assert!((480..=544).contains(&event.len()), "{}", event.len());
        assert_eq!(number(&id(4_711)), Some(4_711));
        assert_eq!(number("order-1"), None);
    }

    #[test]
    fn the_record_has_its_keys_in_alphabetical_order() {
        let record = record(1, 0);
        let sorted: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record, serde_json::to_vec(&sorted).unwrap());
    }
}
