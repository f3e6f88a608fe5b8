package tokenvault_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

func someEvent() tokenvault.Event {
	return tokenvault.Event{
		ID: "ev_0000000000000042", At: time.Date(2026, 2, 3, 4, 5, 6, 789_000, time.UTC), Kind: tokenvault.EventReleased,
		Tenant: "acme", ActorKind: tokenvault.ActorAgent, ActorID: "helper",
		Owner: tokenvault.Owner{Tenant: "acme", OrganizationID: "eng", UserID: "alice"}, ForUserID: "bob",
		ProviderID: "mail", ConnectionID: "cn_1", AuthRequestID: "ar_1", RunID: "run", ThreadID: "thread", Detail: "token",
		Writer: "w", Position: 7,
	}
}

// The encoding never changes: what was hashed years ago is verified with it.
func TestChainHashIsPinned(t *testing.T) {
	const previous = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	const want = "e6bf97aa409a4effb98124c9ad58c52245b0082999be551f7ca2e6f8da04b7c9"
	if got := someEvent().ChainHash(previous); got != want {
		t.Errorf("ChainHash = %s, want %s", got, want)
	}
	// Where one text ends and the next begins is part of it.
	moved := someEvent()
	moved.RunID, moved.ThreadID = "ru", "nthread"
	if moved.ChainHash(previous) == want {
		t.Error("texts that are cut elsewhere have the same hash")
	}
	if someEvent().ChainHash("") == want {
		t.Error("the hash does not depend on the entry before")
	}
}

// A field that is added to events must be added to the hash.
func TestChainHashCoversEveryField(t *testing.T) {
	const previous = ""
	want := someEvent().ChainHash(previous)
	var visit func(reflect.Value, func() tokenvault.Event, string)
	visit = func(v reflect.Value, event func() tokenvault.Event, name string) {
		for i := range v.NumField() {
			field, name := v.Field(i), name+v.Type().Field(i).Name
			if name == "Hash" {
				continue
			}
			old := reflect.ValueOf(field.Interface())
			switch at, isTime := reflect.TypeAssert[time.Time](field); {
			case isTime:
				field.Set(reflect.ValueOf(at.Add(time.Microsecond)))
			case field.Kind() == reflect.Struct:
				visit(field, event, name+".")
				continue
			case field.Kind() == reflect.Int64:
				field.SetInt(field.Int() + 1)
			default:
				field.SetString(field.String() + "x")
			}
			if event().ChainHash(previous) == want {
				t.Errorf("the hash does not cover %s", name)
			}
			field.Set(old)
		}
	}
	e := someEvent()
	visit(reflect.ValueOf(&e).Elem(), func() tokenvault.Event { return e }, "")
}
