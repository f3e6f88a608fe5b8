package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/flow/oauth2flow"
)

const (
	refreshes   = 400
	refreshGoal = 1.4

	tokenAnswer = `{"access_token":"ya29.0123456789012345678901234567890123456789","refresh_token":"1//0123456789012345678901234567890123456789","expires_in":3600,"token_type":"Bearer"}`
	tokenForm   = "grant_type=refresh_token&refresh_token=1%2F%2F0123456789012345678901234567890123456789&client_id=bench"
)

// refresh compares a resolve that has to refresh, without audit of the release,
// with what cannot be saved: one round trip to the token endpoint over a kept
// connection, and two FULL commits.
func (b *bench) refresh(ctx context.Context) (results []result, err error) {
	host, roots, stop, err := b.tokenEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	f, err := b.newRefreshFloor(ctx, "https://"+host+"/token", roots)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.db.Close()) }()
	provider := &tokenvault.Provider{
		ID: "bench", Name: "Bench", Service: "bench", AuthMethod: tokenvault.AuthOAuth2, Hosts: []string{host},
		OAuth2: &tokenvault.OAuth2{AuthorizationURL: "https://" + host + "/authorize", TokenURL: "https://" + host + "/token", ClientAuth: tokenvault.ClientAuthNone},
	}
	s, err := seed(ctx, seedOptions{
		dir: filepath.Join(b.dir, "refreshing"), audit: tokenvault.AuditOff, provider: provider,
		flow: oauth2flow.New(&oauth2flow.Options{Allow: []string{host}}),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.expire(ctx, refreshes); err != nil {
		return nil, err
	}
	user := 0
	least, ours, err := inTurn(refreshes, func() error { return f.call(ctx) }, func() error {
		user++
		_, err := s.vault.Resolve(ctx, agentOf(strconv.Itoa(user)), s.request())
		return err
	})
	if err != nil {
		return nil, err
	}
	if n := s.flow.refreshes.Load(); n != refreshes {
		return nil, fmt.Errorf("%d refreshes for %d expired credentials", n, refreshes)
	}
	return []result{{
		name: "refresh_p50", ratio: float64(ours) / float64(least), goal: refreshGoal,
		detail: fmt.Sprintf("refresh %s, HTTPS round trip and two commits %s", ours, least),
	}}, nil
}

// expire connects users 1 to n, all of whom have to be refreshed.
func (s *seeded) expire(ctx context.Context, n int) (err error) {
	for user := range n {
		if err := s.connect(ctx, agentOf(strconv.Itoa(user+1))); err != nil {
			return err
		}
	}
	db, err := sql.Open("sqlite", fileURL(s.path, ""))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, `UPDATE connections SET expires_at = 1`)
	return err
}

// tokenEndpoint serves tokens by https, under a certificate that this process
// trusts from then on.
func (b *bench) tokenEndpoint(ctx context.Context) (host string, roots *x509.CertPool, stop func(), err error) {
	certificate, text, err := selfSigned()
	if err != nil {
		return "", nil, nil, err
	}
	file := filepath.Join(b.dir, "roots.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", nil, nil, err
	}
	if err := os.Setenv("SSL_CERT_FILE", file); err != nil { // before anything asks for the system's
		return "", nil, nil, err
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, nil, err
	}
	srv := &http.Server{
		ReadHeaderTimeout: time.Second, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<16))
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, tokenAnswer)
		}),
	}
	go func() { _ = srv.ServeTLS(listener, "", "") }()
	return listener.Addr().String(), roots, func() { _ = srv.Close() }, nil
}

func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// refreshFloor is the least that a refresh costs.
type refreshFloor struct {
	client *http.Client
	url    string
	db     *sql.DB
	stmt   *sql.Stmt
	blob   []byte
}

func (b *bench) newRefreshFloor(ctx context.Context, url string, roots *x509.CertPool) (*refreshFloor, error) {
	f := &refreshFloor{url: url, blob: make([]byte, 300), client: &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}}
	var err error
	if f.db, err = sql.Open("sqlite", fileURL(filepath.Join(b.dir, "floor.db"), "")); err != nil {
		return nil, err
	}
	f.db.SetMaxOpenConns(1)
	_, err = f.db.ExecContext(ctx, `CREATE TABLE t (id INTEGER PRIMARY KEY, sealed BLOB); INSERT INTO t VALUES (1, NULL)`)
	if err == nil {
		f.stmt, err = f.db.PrepareContext(ctx, `UPDATE t SET sealed = ? WHERE id = 1`)
	}
	return f, err
}

func (f *refreshFloor) call(ctx context.Context) error {
	if err := f.commit(ctx); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, strings.NewReader(tokenForm))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := f.client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	return f.commit(ctx)
}

func (f *refreshFloor) commit(ctx context.Context) error {
	_, _ = rand.Read(f.blob) // SQLite does not write what is there already
	_, err := f.stmt.ExecContext(context.WithoutCancel(ctx), f.blob)
	return err
}
