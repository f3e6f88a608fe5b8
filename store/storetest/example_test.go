package storetest_test

import (
	"testing"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
	"github.com/ai-token-vault/tokenvault/store/storetest"
)

// myStore is a store of another module.
type myStore struct{ tokenvault.Store }

func openMyStore(clock func() time.Time) myStore {
	return myStore{memory.New(&memory.Options{Clock: clock})}
}

// A store of another module runs the suite in a test of its own.
func Example() {
	testMyStore := func(t *testing.T) { // TestMyStore, in your package
		storetest.Run(t, func(t *testing.T, clock func() time.Time) tokenvault.Store {
			store := openMyStore(clock) // empty; times come from clock
			t.Cleanup(func() { _ = store.Close() })
			return store
		})
	}
	_ = testMyStore
}
