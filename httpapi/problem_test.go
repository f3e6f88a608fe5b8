package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// Every error that the root package declares has a row, so that none becomes an
// internal error by being forgotten.
func TestEveryErrorHasAnAnswer(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range mappings() {
		known[m.err.Error()] = true
	}
	count := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Err") {
			return true
		}
		call, ok := spec.Values[0].(*ast.CallExpr)
		if !ok {
			return true
		}
		text, ok := call.Args[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is not a plain error", spec.Names[0].Name)
		}
		count++
		plain := strings.Trim(text.Value, `"`)
		found := false
		for _, wrapped := range []error{tokenvault.ErrConflict, tokenvault.ErrInvalid} {
			found = found || known[strings.ReplaceAll(plain, "%w", wrapped.Error())]
		}
		if name := spec.Names[0].Name; !found && name != "ErrFenced" { // never leaves the vault
			t.Errorf("%s has no row", name)
		}
		return true
	})
	if count < 10 {
		t.Errorf("only %d errors were found", count)
	}
}

func TestAnErrorsOwnTextStaysInTheLog(t *testing.T) {
	var log bytes.Buffer
	a := &api{log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, m := range append(mappings(), mapping{err: errors.New("unknown"), status: http.StatusInternalServerError, code: "internal"}) {
		w := httptest.NewRecorder()
		a.fail(w, httptest.NewRequest("GET", "/", nil), fmt.Errorf("row %s: %w", canary, m.err))
		res := answer{w.Result(), w.Body.String()}
		res.want(t, m.status, m.code)
		if strings.Contains(res.text, canary) || res.json(t, "error") != res.json(t, "detail") || res.json(t, "title") == "" {
			t.Errorf("%v: %s", m.err, res.text)
		}
		if m.status == http.StatusInternalServerError && res.json(t, "instance") == nil {
			t.Errorf("%v: nothing to find it by in the log", m.err)
		}
	}
	if !strings.Contains(log.String(), canary) {
		t.Error("the log does not say what happened")
	}
}

func TestABusyProviderSaysWhenToComeBack(t *testing.T) {
	a := &api{log: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	a.fail(w, httptest.NewRequest("GET", "/", nil), &tokenvault.ProviderError{Transient: true, RetryAfter: 17 * time.Second})
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "17" {
		t.Errorf("status %d, Retry-After %s", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestK6APanicTellsNothing(t *testing.T) {
	var log bytes.Buffer
	a := &api{log: slog.New(slog.NewTextHandler(&log, nil))}
	h := a.protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(canary) }))
	res := request(h, "GET", "/", "")
	res.want(t, http.StatusInternalServerError, "internal")
	if strings.Contains(res.text+log.String(), canary) {
		t.Error("the panic's value was told")
	}
	if !strings.Contains(log.String(), "TestK6APanicTellsNothing") {
		t.Errorf("the log does not say where: %s", log.String())
	}
}
