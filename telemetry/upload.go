package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	uploadTries = 3
	uploadPause = time.Second // before the second try; doubles
	answerLimit = 64 << 10
)

// uploader delivers spans by OTLP over HTTP. OpenTelemetry's own client does the
// same, but brings gRPC into the binary: see docs/decisions/0011.
type uploader struct {
	target *target
	client *http.Client
	log    *slog.Logger
}

func newUploader(target *target, log *slog.Logger) *uploader {
	return &uploader{target: target, log: log, client: &http.Client{
		Timeout:   target.timeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: target.tls, MaxIdleConns: 1, IdleConnTimeout: time.Minute},
		// A redirect would take the headers, which are secrets, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Start does nothing: nothing is dialed before there are spans.
func (*uploader) Start(context.Context) error { return nil }

// Stop ends idle connections.
func (u *uploader) Stop(context.Context) error {
	u.client.CloseIdleConnections()
	return nil
}

// UploadTraces delivers spans, or logs that they are lost: a vault works on
// without its traces.
func (u *uploader) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// TracesData has the wire format of ExportTraceServiceRequest.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	pause := uploadPause
	for try := 1; ; try++ {
		again, err := u.post(ctx, body)
		if err == nil {
			return nil
		}
		if !again || try == uploadTries {
			u.log.WarnContext(ctx, "traces cannot be delivered and are lost: check the OTEL_EXPORTER_OTLP_ variables", slog.Any("error", err))
			return nil
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// post sends one request and reports whether to try it again. The error tells
// neither URL nor answer.
func (u *uploader) post(ctx context.Context, body []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.target.url, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the endpoint is no URL")
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	for name, value := range u.target.headers {
		r.Header.Set(name, value.Reveal())
	}
	res, err := u.client.Do(r)
	if err != nil {
		return true, errors.New("the endpoint does not answer")
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, answerLimit)) // so that the connection is used again
	switch res.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, fmt.Errorf("the endpoint answers with status %d", res.StatusCode)
	}
	return false, fmt.Errorf("the endpoint answers with status %d", res.StatusCode)
}
