// Package pgtest starts a real PostgreSQL server for tests, on a free port of
// the loopback interface, with its data in a temporary folder.
package pgtest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Required is the environment variable that makes the absence of the program a
// failure. Those who install it set it.
const Required = "PROBITY_REQUIRE_POSTGRES"

// Server is a PostgreSQL server that runs until the test ends.
type Server struct {
	Port int

	bin, dir   string
	credential *syscall.Credential
	cmd        *exec.Cmd
	databases  atomic.Int32
}

// Available returns the folder with the server's programs, or "" if there is
// none and none is required.
func Available() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("postgres"); err == nil {
		folders = append(folders, filepath.Dir(path))
	}
	slices.Sort(folders)
	for _, folder := range slices.Backward(folders) {
		if _, err := os.Stat(filepath.Join(folder, "initdb")); err == nil {
			return folder, nil
		}
	}
	if os.Getenv(Required) != "" {
		return "", fmt.Errorf("PostgreSQL is missing: install postgresql")
	}
	return "", nil
}

// Start starts a server, or skips the test where there is no such program.
func Start(t testing.TB) *Server {
	t.Helper()
	bin, err := Available()
	if err != nil {
		t.Fatal(err)
	}
	if bin == "" {
		t.Skip("PostgreSQL is missing: install postgresql")
	}
	dir, err := os.MkdirTemp("", "probity-pg") // short: a socket is made in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{bin: bin, dir: dir, Port: freePort(t)}
	if os.Getuid() == 0 { // the server refuses to run as root
		who, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	initdb := s.command("initdb", "-D", filepath.Join(dir, "data"), "-U", "probity", "--auth=trust",
		"--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Run(t)
	t.Cleanup(func() { s.Stop() })
	return s
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	return cmd
}

// Run starts the server again after [Server.Stop].
func (s *Server) Run(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.Port), "-h",
		"127.0.0.1", "-k", s.dir)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		conn, err := pgx.Connect(context.Background(), s.url("postgres"))
		if err == nil {
			conn.Close(context.Background())
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	out, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	t.Fatalf("PostgreSQL does not start:\n%s", out)
}

// Stop ends the server at once, as an immediate shutdown does: connections
// break.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGQUIT)
	s.cmd.Wait()
	s.cmd = nil
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://probity@127.0.0.1:%d/%s?sslmode=disable", s.Port, database)
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "test" + strconv.Itoa(int(s.databases.Add(1)))
	conn, err := pgx.Connect(t.Context(), s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

// Exec runs a statement in the database of a URL.
func Exec(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", strings.SplitN(statement, "\n", 2)[0], err)
	}
}
