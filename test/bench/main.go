// Command bench measures what an appraisal costs beside its floor: the bare
// signature checks that the algorithm needs, on the same machine in the same
// run. Rounds are interleaved, CPU time is compared, and the figure to read
// is the median of the ratios.
//
//	go run ./test/bench
package main

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

const rounds = 8

// pair is a piece of work beside what it is measured against.
type pair struct {
	name string
	// goal bounds the ratio ours/floor; negative goals bound floor/ours from
	// below, for peers that are to be beaten.
	goal        float64
	floorName   string
	ours, floor func()
}

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	fmt.Printf("%-46s %10s %10s %8s  %s\n", "", "ours µs", "floor µs", "ratio", "goal")
	missed := 0
	only := flag.String("only", "", "pairs, ledger or releases; empty is all")
	flag.Parse()
	if *only == "" || *only == "pairs" {
		for _, p := range pairs() {
			if !p.run() {
				missed++
			}
		}
	}
	if (*only == "" || *only == "ledger") && !sustained() {
		missed++
	}
	if *only == "" || *only == "releases" {
		missed += releases()
	}
	fmt.Printf("%d rounds, interleaved, CPU time, medians; %d goals missed\n", rounds, missed)
}

// run prints one line and reports whether the goal was met.
func (p pair) run() bool {
	n := iterations(p.ours, p.floor)
	var ours, floor, ratios []float64
	for range rounds {
		a, b := cpu(p.ours, n), cpu(p.floor, n)
		ours, floor, ratios = append(ours, a), append(floor, b), append(ratios, a/b)
	}
	ratio, sign := median(ratios), "≤"
	met := ratio <= p.goal
	if p.goal < 0 {
		ratio, sign = 1/ratio, "≥"
		met = ratio >= -p.goal
	}
	verdict := "met"
	if !met {
		verdict = "MISSED"
	}
	fmt.Printf("%-46s %10.1f %10.1f %8.2f  %s %.2f × %s: %s\n", p.name, median(ours), median(floor), ratio,
		sign, max(p.goal, -p.goal), p.floorName, verdict)
	return met
}

// iterations chooses how often to run so that a round takes long enough for
// the clock of the process.
func iterations(work ...func()) int {
	slowest := time.Duration(0)
	for _, f := range work {
		f() // fill caches
		start := time.Now()
		for range 10 {
			f()
		}
		slowest = max(slowest, time.Since(start)/10)
	}
	return max(int(120*time.Millisecond/max(slowest, time.Microsecond)), 20)
}

// cpu returns the CPU time of one call in microseconds, the collector's share
// included.
func cpu(f func(), n int) float64 {
	runtime.GC()
	start := processTime()
	for range n {
		f()
	}
	return float64((processTime() - start).Nanoseconds()) / float64(n) / 1000
}

func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// text returns n characters that decode as base64url.
func text(n int) string { return strings.Repeat("QUJD", n/4) }
