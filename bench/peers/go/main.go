// A worker as one writes it by hand in Go: JetStream in, HTTP out, at least once.
//
// It does what Ropeway's worker is measured with, and no more: maps, sends, acknowledges after a 2xx, gives back what
// failed with a delay, drops what was refused. There are no dead letters, no counts, no status and no limits.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	retryAfter = 2 * time.Second
	mostWait   = 50 * time.Millisecond
)

type order struct {
	ID         string `json:"id"`
	OccurredAt string `json:"occurred_at"`
	Customer   struct {
		ID        string `json:"id"`
		Email     string `json:"email"`
		FirstName string `json:"first_name"`
		LastName  string `json:"last_name"`
		Country   string `json:"country"`
	} `json:"customer"`
	Currency   string `json:"currency"`
	TotalCents int64  `json:"total_cents"`
	Items      []line `json:"items"`
}

// record has its fields in alphabetical order, as the sink compares bytes.
type record struct {
	AmountCents int64  `json:"amount_cents"`
	Country     string `json:"country"`
	Currency    string `json:"currency"`
	CustomerID  string `json:"customer_id"`
	Email       string `json:"email"`
	EventID     string `json:"event_id"`
	Items       []line `json:"items"`
	Name        string `json:"name"`
	OccurredAt  string `json:"occurred_at"`
}

type line struct {
	Quantity int64  `json:"quantity"`
	Sku      string `json:"sku"`
}

func mapped(data []byte) (record, error) {
	var from order
	if err := json.Unmarshal(data, &from); err != nil {
		return record{}, err
	}
	return record{
		AmountCents: from.TotalCents,
		Country:     strings.ToUpper(from.Customer.Country),
		Currency:    strings.ToUpper(from.Currency),
		CustomerID:  from.Customer.ID,
		Email:       strings.ToLower(from.Customer.Email),
		EventID:     from.ID,
		Items:       from.Items,
		Name:        from.Customer.FirstName + " " + from.Customer.LastName,
		OccurredAt:  from.OccurredAt,
	}, nil
}

type worker struct {
	client *http.Client
	url    string
	batch  int
}

// post sends one body; a status of 0 means that it is not known whether it arrived.
func (w *worker) post(body []byte) int {
	request, err := http.NewRequest(http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("content-type", "application/json")
	answer, err := w.client.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0
	}
	return answer.StatusCode
}

func (w *worker) deliver(messages []jetstream.Msg) {
	records := make([]record, 0, len(messages))
	kept := messages[:0]
	for _, message := range messages {
		made, err := mapped(message.Data())
		if err != nil {
			_ = message.Term()
			continue
		}
		records, kept = append(records, made), append(kept, message)
	}
	if len(kept) == 0 {
		return
	}
	var content any = records
	if w.batch == 1 {
		content = records[0]
	}
	body, err := json.Marshal(content)
	if err != nil {
		log.Fatal(err)
	}
	status := w.post(body)
	for _, message := range kept {
		switch {
		case status >= 200 && status < 300:
			_ = message.Ack()
		case status == 0 || status == 408 || status == 429 || status >= 500:
			_ = message.NakWithDelay(retryAfter)
		default:
			_ = message.Term()
		}
	}
}

// batches gathers up to size messages, for as long as mostWait after the first one.
func batches(messages <-chan jetstream.Msg, size int, full chan<- []jetstream.Msg) {
	var waiting []jetstream.Msg
	var due <-chan time.Time
	for {
		select {
		case message := <-messages:
			waiting = append(waiting, message)
			if due == nil && size > 1 {
				due = time.After(mostWait)
			}
			if len(waiting) < size {
				continue
			}
		case <-due:
		}
		full <- waiting
		waiting, due = nil, nil
	}
}

func main() {
	natsURL := flag.String("nats-url", "", "where NATS is")
	stream := flag.String("stream", "", "the events stream")
	consumerName := flag.String("consumer", "", "the lane's consumer on it")
	url := flag.String("url", "", "where events go")
	inFlight := flag.Int("in-flight", 64, "requests at a time")
	batch := flag.Int("batch", 1, "events of a request")
	flag.Parse()

	connection, err := nats.Connect(*natsURL)
	if err != nil {
		log.Fatal(err)
	}
	context := context.Background()
	js, err := jetstream.New(connection)
	if err != nil {
		log.Fatal(err)
	}
	consumer, err := js.Consumer(context, *stream, *consumerName)
	if err != nil {
		log.Fatal(err)
	}
	w := &worker{
		client: &http.Client{
			Timeout:   15 * time.Second,
			Transport: &http.Transport{MaxIdleConnsPerHost: *inFlight, MaxConnsPerHost: *inFlight},
		},
		url:   *url,
		batch: *batch,
	}
	messages, full := make(chan jetstream.Msg), make(chan []jetstream.Msg)
	go batches(messages, *batch, full)
	for range *inFlight {
		go func() {
			for some := range full {
				w.deliver(some)
			}
		}()
	}
	consuming, err := consumer.Consume(func(message jetstream.Msg) { messages <- message }, jetstream.PullMaxMessages(1_000))
	if err != nil {
		log.Fatal(err)
	}
	<-consuming.Closed()
}
