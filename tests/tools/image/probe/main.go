// Command probe is the smallest useful container of the cluster tests: a web server that tells who it is,
// and a client that asks one until it answers.
//
//	probe serve ADDRESS          answers every request with the host name and logs it
//	probe get URL [SECONDS]      prints the first good answer; fails after SECONDS (60)
//
// In a pod with a service account, `get` trusts the cluster's authority and shows the account's token.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) == 2 && args[0] == "get":
		return get(args[1], time.Minute)
	case len(args) == 3 && args[0] == "get":
		seconds, err := strconv.Atoi(args[2])
		if err != nil {
			return fmt.Errorf("not a number of seconds: %w", err)
		}
		return get(args[1], time.Duration(seconds)*time.Second)
	}
	return fmt.Errorf("usage: probe serve ADDRESS | probe get URL [SECONDS]")
}

func serve(address string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	fmt.Println("serving on", address)
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL.Path)
		fmt.Fprintln(w, "hello from", host)
	}))
}

func get(url string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last error
	for {
		body, err := ask(ctx, url)
		if err == nil {
			fmt.Print(body)
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: %w", patience, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func ask(ctx context.Context, url string) (string, error) {
	attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(attempt, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := http.DefaultClient
	if authority, err := os.ReadFile(filepath.Join(account, "ca.crt")); err == nil {
		token, err := os.ReadFile(filepath.Join(account, "token"))
		if err != nil {
			return "", err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(authority)
		client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
		request.Header.Set("Authorization", "Bearer "+string(token))
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", response.StatusCode)
	}
	return string(body), nil
}
