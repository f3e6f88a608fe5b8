package limit

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// call ends a call at once with the verdict, and reports whether it was let through.
func (b *Breakers) call(endpoint string, v Verdict, pause time.Duration) bool {
	end, _ := b.Begin(endpoint)
	if end != nil {
		end(v, pause)
	}
	return end != nil
}

func TestABreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []bool
		b := Breakers{Changed: func(endpoint string, open bool) {
			if endpoint != "down" {
				t.Errorf("%s changed", endpoint)
			}
			changes = append(changes, open)
		}}
		for range tripAfter - 1 {
			b.call("down", Failed, 0)
		}
		b.call("down", Answered, 0) // in a row, not in all
		for range tripAfter {
			if !b.call("down", Failed, 0) {
				t.Fatal("refused while closed")
			}
		}
		for _, long := range []time.Duration{firstOpen, 2 * firstOpen, 4 * firstOpen, mostOpen, mostOpen} {
			if wait := b.Wait("down"); wait != long || b.call("down", Answered, 0) {
				t.Fatalf("open for %v, want %v", wait, long)
			}
			<-time.After(long)
			if !b.call("down", Failed, 0) { // half open
				t.Fatal("no call is let through after its time")
			}
		}
		if !b.call("up", Answered, 0) || b.Wait("up") != 0 || !slices.Equal(b.Open(), []string{"down"}) {
			t.Errorf("open are %q", b.Open())
		}
		<-time.After(mostOpen)
		b.call("down", Answered, 0)
		for range tripAfter - 1 {
			b.call("down", Failed, 0)
		}
		if !b.call("down", Unsent, 0) || !slices.Equal(changes, []bool{true, false}) {
			t.Errorf("after an answer: changes are %v", changes)
		}
	})
}

// While half open one call is under way at a time, and one that was not sent leaves
// its place to the next.
func TestHalfOpenLetsOneCallThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breakers
		for range tripAfter {
			b.call("e", Failed, 0)
		}
		<-time.After(firstOpen)
		first, _ := b.Begin("e")
		if second, wait := b.Begin("e"); second != nil || wait <= 0 || b.Wait("e") <= 0 {
			t.Fatal("two calls at a time")
		}
		first(Unsent, 0)
		if b.Wait("e") != 0 || !b.call("e", Answered, 0) || len(b.Open()) != 0 {
			t.Error("the place of a call that was not sent stays taken")
		}
	})
}

// Calls that were under way when the breaker opened say nothing new when they fail,
// and close it when they are answered.
func TestLateCallsDoNotKeepABreakerOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breakers
		var late []func(Verdict, time.Duration)
		for range 64 {
			end, _ := b.Begin("e")
			late = append(late, end)
		}
		for _, end := range late[1:] {
			end(Failed, 0)
		}
		if wait := b.Wait("e"); wait != firstOpen {
			t.Errorf("open for %v, want %v", wait, firstOpen)
		}
		<-time.After(firstOpen)
		half, _ := b.Begin("e")
		late[0](Failed, 0)
		if another, _ := b.Begin("e"); another != nil {
			t.Error("a late failure makes room for another call")
		}
		late[0](Answered, 0)
		if b.Wait("e") != 0 {
			t.Error("an answer does not close it")
		}
		half(Failed, 0)
		if b.Wait("e") != 0 {
			t.Error("one failure after an answer opens it")
		}
	})
}

func TestAnEndpointIsLeftAloneAsLongAsItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breakers
		for i, asked := range []time.Duration{5 * time.Minute, 24 * time.Hour} {
			endpoint := fmt.Sprint(i)
			for range tripAfter {
				b.call(endpoint, Failed, asked)
			}
			if wait := b.Wait(endpoint); wait != min(asked, maxPause) {
				t.Errorf("asked for %v: left alone for %v", asked, wait)
			}
		}
	})
}

func TestEndpointsThatNobodyAsksAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breakers
		for range tripAfter {
			b.call("open", Failed, 0)
		}
		for i := range 1000 {
			b.call(fmt.Sprint("once-", i), Failed, 0)
		}
		<-time.After(firstOpen + forgetIn + time.Second)
		if open := b.Open(); len(open) != 0 {
			t.Errorf("open are %q", open)
		}
		b.call("another", Failed, 0)
		if len(b.failing) != 1 {
			t.Errorf("%d endpoints are kept", len(b.failing))
		}
	})
}
