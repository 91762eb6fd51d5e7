// Command peers measures verification beside go-sev-guest and go-tdx-guest, and
// the policy language beside its peers and its floor: the same decision by OPA
// and by CEL in the same run, and a policy full of JMESPath beside one bare
// decode of the log that it queries. It is a module of
// its own, so that the peers never enter the main one.
//
//	go run . [POLICY]
//
// POLICY names a further policy to run over the log.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/go-json-experiment/json"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/policy"
)

const rounds = 8

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	set := decisionClaims()
	ours := evaluator(decisionPolicy, set)
	fmt.Printf("%-46s %10s %10s %8s  %s\n", "", "ours µs", "peer µs", "ratio", "goal")
	snpPairs()
	tdxPairs()
	tpmPairs()
	guestPair()
	compare("decision beside OPA (prepared, parsed input)", ours, opa(set), -10)
	compare("decision beside cel-go", ours, celgo(set), 2)
	log := eventLog(300)
	measured := claims.NewSet(claim("events", claims.StringValue(log)),
		claim("bootEvents", claims.StringValue(log)), claim("aikValidated", claims.BooleanValue(true)))
	floor := func() {
		var v any
		must(json.Unmarshal([]byte(log), &v))
	}
	compare(fmt.Sprintf("12 queries over 300 events (%d KB), one decode", len(log)>>10),
		evaluator(bootPolicy, measured), floor, 20)
	for _, file := range os.Args[1:] {
		text, err := os.ReadFile(file)
		must(err)
		compare(file[strings.LastIndexByte(file, '/')+1:]+", one decode",
			evaluator(string(text), measured), floor, 20)
	}
	fmt.Printf("%d rounds, interleaved, CPU time, medians\n", rounds)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func claim(name string, v claims.Value) claims.Claim {
	return claims.Claim{Type: name, Value: v, Issuer: claims.AttestationService}
}

const (
	signer      = "8684db073c905e23395a246d9101b38f83a75f897d32ec78208738a26418b95b"
	otherSigner = "0000db073c905e23395a246d9101b38f83a75f897d32ec78208738a26418b95b"
)

func decisionClaims() claims.Set {
	text := func(n int) claims.Value { return claims.StringValue(strings.Repeat("ab", n)) }
	return claims.NewSet(
		claim("x-ms-attestation-type", claims.StringValue("sgx")),
		claim("x-ms-sgx-is-debuggable", claims.BooleanValue(false)),
		claim("x-ms-sgx-mrenclave", text(32)), claim("x-ms-sgx-mrsigner", claims.StringValue(signer)),
		claim("x-ms-sgx-product-id", claims.IntegerValue(7)), claim("x-ms-sgx-svn", claims.IntegerValue(3)),
		claim("x-ms-sgx-report-data", text(64)), claim("x-ms-sgx-collateral", text(200)),
		claim("x-probity-tcb-status", claims.StringValue("UpToDate")),
		claim("x-probity-tcb-evaluation-number", claims.IntegerValue(20)))
}

const decisionPolicy = `version=1.0;
authorizationrules{
	[type=="x-ms-sgx-is-debuggable", value==true] => deny();
	[type=="x-ms-sgx-mrsigner", value=="` + otherSigner + `"] &&
		[type=="x-ms-sgx-product-id", value==7] && [type=="x-ms-sgx-svn", value>=3] => permit();
	[type=="x-ms-sgx-mrsigner", value=="` + signer + `"] &&
		[type=="x-ms-sgx-product-id", value==7] && [type=="x-ms-sgx-svn", value>=3] => permit();
};`

// evaluator returns a run of a policy that must permit.
func evaluator(text string, set claims.Set) func() {
	p, err := policy.ParseMode(text, policy.Lenient)
	must(err)
	return func() {
		out, err := p.Evaluate(set)
		must(err)
		if !out.Permitted {
			panic(out.Trace.Reason())
		}
	}
}

func input(set claims.Set) map[string]any {
	members := map[string]any{}
	for name, value := range set.Members() {
		members[strings.ReplaceAll(name, "-", "_")] = value
	}
	return members
}

func opa(set claims.Set) func() {
	ctx := context.Background()
	query, err := rego.New(rego.Query("data.p.permit"), rego.Module("p.rego", `package p
default permit := false
deny if input.x_ms_sgx_is_debuggable
ok if { input.x_ms_sgx_mrsigner == "`+otherSigner+`"; input.x_ms_sgx_product_id == 7; input.x_ms_sgx_svn >= 3 }
ok if { input.x_ms_sgx_mrsigner == "`+signer+`"; input.x_ms_sgx_product_id == 7; input.x_ms_sgx_svn >= 3 }
permit if { ok; not deny }`)).PrepareForEval(ctx)
	must(err)
	parsed, err := ast.InterfaceToValue(input(set))
	must(err)
	return func() {
		result, err := query.Eval(ctx, rego.EvalParsedInput(parsed))
		must(err)
		if !result.Allowed() {
			panic("OPA denies")
		}
	}
}

func celgo(set claims.Set) func() {
	members := input(set)
	var options []cel.EnvOption
	for name, value := range members {
		switch value.(type) {
		case bool:
			options = append(options, cel.Variable(name, cel.BoolType))
		case int64:
			options = append(options, cel.Variable(name, cel.IntType))
		default:
			options = append(options, cel.Variable(name, cel.StringType))
		}
	}
	env, err := cel.NewEnv(options...)
	must(err)
	tree, issues := env.Compile(`!x_ms_sgx_is_debuggable && ((x_ms_sgx_mrsigner == "` + otherSigner +
		`" && x_ms_sgx_product_id == 7 && x_ms_sgx_svn >= 3) || ` +
		`(x_ms_sgx_mrsigner == "` + signer + `" && x_ms_sgx_product_id == 7 && x_ms_sgx_svn >= 3))`)
	must(issues.Err())
	program, err := env.Program(tree, cel.EvalOptions(cel.OptOptimize))
	must(err)
	return func() {
		out, _, err := program.Eval(members)
		must(err)
		if out.Value() != true {
			panic("CEL denies")
		}
	}
}

// compare prints the ratio ours/peer, or, for a negative goal, peer/ours.
func compare(name string, ours, peer func(), goal float64) {
	n, m := iterations(ours), iterations(peer)
	var a, b, ratios []float64
	for range rounds {
		x, y := cpu(ours, n), cpu(peer, m)
		a, b, ratios = append(a, x), append(b, y), append(ratios, x/y)
	}
	ratio, sign, met := median(ratios), "≤", median(ratios) <= goal
	if goal < 0 {
		ratio, sign = 1/ratio, "≥"
		met = ratio >= -goal
	}
	verdict := map[bool]string{true: "met", false: "MISSED"}[met]
	fmt.Printf("%-46s %10.2f %10.2f %8.2f  %s %.1f ×: %s\n", name, median(a), median(b), ratio, sign,
		max(goal, -goal), verdict)
}

func iterations(f func()) int {
	start, n := time.Now(), 0
	for time.Since(start) < 100*time.Millisecond {
		f()
		n++
	}
	return max(n, 10)
}

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
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
