package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ai-token-vault/tokenvault"
)

const (
	prefix        = "OTEL_EXPORTER_OTLP_"
	exportTimeout = 10 * time.Second
)

// A target is where spans are delivered.
type target struct {
	url     string
	headers map[string]tokenvault.Secret
	timeout time.Duration
	tls     *tls.Config // nil: the system's certificates
}

// targetOf reads the environment. It returns nil if traces are off. Errors name the
// variable and never its value.
func targetOf(environ func(string) string) (*target, error) {
	if strings.EqualFold(environ("OTEL_SDK_DISABLED"), "true") || environ("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil //nolint:nilnil // no target is a valid answer
	}
	setting := func(name string) (key, value string) {
		if value := environ(prefix + "TRACES_" + name); value != "" {
			return prefix + "TRACES_" + name, value
		}
		return prefix + name, environ(prefix + name)
	}
	key, endpoint := setting("ENDPOINT")
	if endpoint == "" {
		return nil, nil //nolint:nilnil // as above
	}
	if exporter := environ("OTEL_TRACES_EXPORTER"); exporter != "" && exporter != "otlp" {
		return nil, errors.New("OTEL_TRACES_EXPORTER: must be otlp or none")
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%s: must be a URL such as http://127.0.0.1:4318", key)
	}
	if key == prefix+"ENDPOINT" {
		u = u.JoinPath("v1/traces")
	}
	t := &target{url: u.String(), timeout: exportTimeout}
	if key, protocol := setting("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return nil, fmt.Errorf("%s: must be http/protobuf, or be left out", key)
	}
	if key, text := setting("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms < 1 {
			return nil, fmt.Errorf("%s: must be a number of milliseconds, such as 10000", key)
		}
		t.timeout = time.Duration(ms) * time.Millisecond
	}
	if t.headers, err = headersOf(setting("HEADERS")); err != nil {
		return nil, err
	}
	t.tls, err = certificatesOf(setting("CERTIFICATE"))
	return t, err
}

// headersOf reads name=value pairs with percent-encoded values.
func headersOf(key, text string) (map[string]tokenvault.Secret, error) {
	headers := map[string]tokenvault.Secret{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%s: must be name=value pairs with commas between them, values percent-encoded", key)
		}
		headers[name] = tokenvault.NewSecret(value)
	}
	return headers, nil
}

func certificatesOf(key, path string) (*tls.Config, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // the default is no configuration
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("%s: the file cannot be read (%w)", key, failed.Err)
	}
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: the file must hold certificates as PEM", key)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
