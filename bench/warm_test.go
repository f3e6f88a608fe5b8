package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A warm resolve is one SELECT and the shared commit of its audit entry: whoever
// makes it more has to change this test.
func TestAWarmResolveIsOneSelect(t *testing.T) {
	w, err := countWarm(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if w.selects != w.resolves || w.others != 0 || w.commits != 0 {
		t.Errorf("%d resolves without audit are %d SELECT, %d other statements, %d commits", w.resolves, w.selects, w.others, w.commits)
	}
	if w.auditCommits != w.resolves {
		t.Errorf("%d resolves with audit, one after the other, are %d commits", w.resolves, w.auditCommits)
	}
	if w.providerCalls != 0 {
		t.Errorf("%d resolves call the provider %d times", 2*w.resolves, w.providerCalls)
	}
	if !strings.Contains(w.statement.text, "FROM") || len(w.statement.args) == 0 {
		t.Errorf("the statement is %q", w.statement.text)
	}
}
