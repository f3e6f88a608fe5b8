package limit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const patience = 5 * time.Second

// A host that hangs keeps its own requests waiting, and no other host's.
func TestAHungHostKeepsItsOwnRequestsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(10000)
		var leaves []func()
		for range gateSlots {
			leave, err := g.Enter(t.Context(), "hung", patience)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		begun := time.Now()
		var group sync.WaitGroup
		for range gateQueue {
			group.Go(func() {
				if _, err := g.Enter(t.Context(), "hung", patience); RetryAfter(err) == 0 || time.Since(begun) != patience {
					t.Errorf("in the queue: %v after %v", err, time.Since(begun))
				}
			})
		}
		synctest.Wait()
		if _, err := g.Enter(t.Context(), "hung", patience); RetryAfter(err) == 0 || time.Since(begun) != 0 {
			t.Errorf("beyond the queue: %v after %v", err, time.Since(begun))
		}
		for range 2 * gateSlots {
			leave, err := g.Enter(t.Context(), "other", patience)
			if err != nil || time.Since(begun) != 0 {
				t.Fatalf("another host: %v after %v", err, time.Since(begun))
			}
			leave()
		}
		group.Wait()
		waited := make(chan error)
		go func() {
			_, err := g.Enter(t.Context(), "hung", patience)
			waited <- err
		}()
		synctest.Wait()
		leaves[0]()
		if err := <-waited; err != nil {
			t.Errorf("after one left: %v", err)
		}
	})
}

func TestRequestsAreSpreadOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(10)
		enter := func() error {
			leave, err := g.Enter(t.Context(), "host", patience)
			if err == nil {
				leave()
			}
			return err
		}
		begun := time.Now()
		for range 20 + 10 { // the burst, and a second's worth
			if err := enter(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took < 900*time.Millisecond || took > 1100*time.Millisecond {
			t.Errorf("took %v, want a second", took)
		}
		var group sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		for range gateSlots { // more than patience allows for
			group.Go(func() {
				if err := enter(); RetryAfter(err) > 0 {
					mu.Lock()
					defer mu.Unlock()
					refused++
				}
			})
		}
		group.Wait()
		if refused < 10 || refused > 16 || time.Since(begun) > time.Second+patience+100*time.Millisecond {
			t.Errorf("%d of %d were refused, after %v", refused, gateSlots, time.Since(begun))
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1000)
		for range gateSlots {
			if _, err := g.Enter(t.Context(), "host", patience); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := g.Enter(ctx, "host", patience); !errors.Is(err, context.Canceled) {
			t.Errorf("Enter: %v", err)
		}
	})
}

func TestAPauseLastsAsLongAsItWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(10)
		rest := func(who string) time.Duration { return RetryAfter(g.Rest(t.Context(), who, patience)) }
		g.Pause("one", time.Minute)
		g.Pause("two", 24*time.Hour)
		if one, two, three := rest("one"), rest("two"), rest("three"); one != time.Minute || two != maxPause || three != 0 {
			t.Errorf("paused for %v, %v, %v", one, two, three)
		}
		<-time.After(time.Minute - patience)
		begun := time.Now()
		if err := g.Rest(t.Context(), "one", patience); err != nil || time.Since(begun) != patience {
			t.Errorf("the end of a pause is waited for: %v after %v", err, time.Since(begun))
		}
		if rest("one") != 0 || rest("two") == 0 {
			t.Error("a pause does not end in time")
		}
		g.Pause("three", time.Second)
		if len(g.pauses) != 2 {
			t.Errorf("%d pauses are kept, want those that last", len(g.pauses))
		}
	})
}

func TestWithoutAGateEverythingGoesThrough(t *testing.T) {
	g := NewGate(0)
	g.Pause("host", time.Hour)
	leave, err := g.Enter(t.Context(), "host", patience)
	if err != nil || g.Rest(t.Context(), "host", 0) != nil {
		t.Fatal(err)
	}
	leave()
}
