// Package worst contains the most expensive inputs that are known for each parser and for the
// policy language against a bound on processor time and memory.
package worst

import (
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The bounds of one input of at most 1 MB.
const (
	maxInput  = 1 << 20
	maxMemory = 64 << 20
	// maxTime is what the plain work of [floor] stands for: a machine that is slow is slow in
	// both, so that no absolute time is asserted.
	maxTime = 250 * time.Millisecond
)

// floor is the processor time of about 250 ms of plain work on a machine of 2024.
var floor = sync.OnceValue(func() time.Duration {
	best := time.Hour
	for range 3 {
		start := processorTime()
		sum := uint64(14695981039346656037)
		for i := range 190_000_000 {
			sum = (sum ^ uint64(i&0xff)) * 1099511628211
		}
		runtime.KeepAlive(sum)
		best = min(best, processorTime()-start)
	}
	return best
})

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cost is what one run of work takes: processor time, the collector's included, and all
// memory that it asks for, whether or not it is in use at the same time.
type cost struct {
	time   time.Duration
	memory uint64
}

func measure(work func()) cost {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := processorTime()
	work()
	c := cost{time: processorTime() - start}
	runtime.ReadMemStats(&after)
	c.memory = after.TotalAlloc - before.TotalAlloc
	return c
}

// hold fails if the work takes more than the bounds. The machine may do something else at
// the same time, so that the best of a few runs is what the work takes.
func hold(t *testing.T, size int, work func()) {
	t.Helper()
	if race {
		t.Skip("the race detector takes time and memory of its own")
	}
	if size > maxInput+maxInput/8 {
		t.Fatalf("an input of %d bytes", size)
	}
	best := measure(work)
	for range 4 {
		if best.time < floor()/4 {
			break
		}
		again := measure(work)
		best = cost{min(best.time, again.time), min(best.memory, again.memory)}
	}
	share := float64(best.time) / float64(floor())
	t.Logf("%d bytes: %.0f ms, %.1f ns a byte, %.1f MB", size, share*float64(maxTime.Milliseconds()),
		share*float64(maxTime.Nanoseconds())/float64(max(size, 1)), float64(best.memory)/(1<<20))
	if share > 1 {
		t.Errorf("%.2f of the processor time that one input may take", share)
	}
	if best.memory > maxMemory {
		t.Errorf("%d MB of memory, at most %d are allowed", best.memory>>20, maxMemory>>20)
	}
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(100)
	m.Run()
}
