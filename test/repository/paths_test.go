package repository

import (
	"go/ast"
	"go/constant"
	"go/types"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestPathCalls finds all uses of functions that take a path in the product, and compares them with a
// list that has a reason for each. Jobs can write to many directories that azptend uses, so a plain
// os.Open needs a reason: most files are read with internal/safefile.
func TestPathCalls(t *testing.T) {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
		Dir:  "../..",
	}, "./cmd/...", "./internal/...")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, p := range loaded {
		for _, e := range p.Errors {
			t.Fatal(e)
		}
		dir := strings.TrimPrefix(p.PkgPath, module)
		if dir == "internal/emulator" || dir == "internal/fakeagent" || dir == "internal/lab" {
			continue
		}
		for _, use := range pathCallsOf(p) {
			used[dir+" "+use] = true
		}
	}
	if len(used) < 30 {
		t.Fatalf("only %d calls were found: %v", len(used), used)
	}
	reasons := map[string]string{}
	for _, group := range pathCalls {
		for _, call := range group.calls {
			if reasons[call] != "" {
				t.Errorf("%s is listed twice", call)
			}
			reasons[call] = group.reason
		}
	}
	for _, call := range sortedKeys(used) {
		if reasons[call] == "" {
			t.Errorf("%s: takes a path, and is not in the list; read files through internal/safefile, or give a reason in test/repository/paths_list_test.go", call)
		}
	}
	for _, call := range sortedKeys(reasons) {
		if !used[call] {
			t.Errorf("%s is in the list, and is not called any more", call)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// pathCallsOf returns the uses in a package, each as "function called": the
// function that it is in, and what is called or passed on.
func pathCallsOf(p *packages.Package) []string {
	var found []string
	for _, file := range p.Syntax {
		for _, decl := range file.Decls {
			in := "package"
			if f, is := decl.(*ast.FuncDecl); is {
				in = f.Name.Name
				if f.Recv != nil {
					in = receiver(f.Recv.List[0].Type) + "." + in
				}
			}
			plain := plainNetworks(p.TypesInfo, decl)
			ast.Inspect(decl, func(n ast.Node) bool {
				id, is := n.(*ast.Ident)
				if !is {
					return true
				}
				f, is := p.TypesInfo.Uses[id].(*types.Func)
				if is && takesPath(f) && !plain[id] {
					found = append(found, in+" "+nameOf(f))
				}
				return true
			})
		}
	}
	return found
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return "?"
}

// pathPackages are packages with functions that take a path.
var pathPackages = []string{
	"archive/zip", "crypto/tls", "crypto/x509", "debug/elf", "debug/macho", "debug/pe", "io/fs", "io/ioutil", "net", "net/http", "os", "os/exec",
	"path/filepath", "plugin", "syscall",
	"github.com/fsnotify/fsnotify", "golang.org/x/sys/unix",
}

// pathNames are the names of parameters in those packages that are paths.
var pathNames = []string{
	"argv0", "certFile", "dev", "dir", "file", "filename", "fromPath", "fstype", "keyFile", "linkpath", "mountpoint", "name", "newname", "newpath",
	"newroot", "oldname", "oldpath", "path", "pathname", "pattern", "prefix", "putold", "root", "source", "special", "target", "toPath", "val",
}

// pureFunctions only use the text of a path, or take another kind of name.
var pureFunctions = []string{
	"io/fs.FileMode.String", "io/fs.ValidPath", "net.CIDRMask", "net.DNSError", "net/http.CanonicalHeaderKey", "net/http.Request.Cookie", "net/http.Request.CookiesNamed",
	"net/http.Request.FormFile", "net/http.Request.PathValue", "net/http.Request.SetPathValue", "net/http.ServeMux.Handle", "net/http.ServeMux.HandleFunc", "net/http.Handle", "net/http.HandleFunc", "net/http.StripPrefix",
	"net.InterfaceByName", "net.LookupCNAME", "net.LookupMX", "net.LookupNS", "net.LookupTXT", "net.Resolver.LookupCNAME", "net.Resolver.LookupMX", "net.Resolver.LookupNS", "net.Resolver.LookupTXT", "net.Resolver.LookupSRV",
	"os.IsPathSeparator", "os.NewFile", "os.NewSyscallError", "path/filepath.Base", "path/filepath.Clean", "path/filepath.Dir", "path/filepath.Ext",
	"path/filepath.FromSlash", "path/filepath.HasPrefix", "path/filepath.IsAbs", "path/filepath.IsLocal", "path/filepath.Localize", "path/filepath.Match",
	"path/filepath.Split", "path/filepath.SplitList", "path/filepath.ToSlash", "path/filepath.VolumeName",
	"golang.org/x/sys/unix.MemfdCreate",
}

// byAddress are functions with a parameter that can be the path of a socket, although it is not a
// plain string or is a path only for some networks.
var byAddress = []string{
	"net.Dial", "net.DialTimeout", "net.DialUnix", "net.Dialer.Dial", "net.Dialer.DialContext", "net.Dialer.DialUnix", "net.Listen", "net.ListenConfig.Listen",
	"net.ListenConfig.ListenPacket", "net.ListenPacket", "net.ListenUnix", "net.ListenUnixgram", "syscall.Bind", "syscall.Connect", "golang.org/x/sys/unix.Bind", "golang.org/x/sys/unix.Connect",
}

func takesPath(f *types.Func) bool {
	if f.Pkg() == nil || !slices.Contains(pathPackages, f.Pkg().Path()) {
		return false
	}
	name := f.Pkg().Path() + "." + strings.TrimPrefix(nameOf(f), f.Pkg().Name()+".")
	if slices.Contains(byAddress, name) {
		return true
	}
	if slices.Contains(pureFunctions, name) {
		return false
	}
	params := f.Type().(*types.Signature).Params()
	for p := range params.Variables() {
		p := p
		text, is := p.Type().Underlying().(*types.Basic)
		if is && text.Kind() == types.String && slices.Contains(pathNames, p.Name()) {
			return true
		}
	}
	return false
}

// nameOf is a function's name with its package's, and with its type's: "os.Open",
// "os.Root.Open".
func nameOf(f *types.Func) string {
	name := f.Name()
	if recv := f.Type().(*types.Signature).Recv(); recv != nil {
		t := recv.Type()
		if p, is := t.(*types.Pointer); is {
			t = p.Elem()
		}
		if n, is := t.(*types.Named); is {
			name = n.Obj().Name() + "." + name
		}
	}
	return f.Pkg().Name() + "." + name
}

// plainNetworks are calls of package net with a constant network whose addresses are not paths.
func plainNetworks(info *types.Info, in ast.Node) map[*ast.Ident]bool {
	plain := map[*ast.Ident]bool{}
	ast.Inspect(in, func(n ast.Node) bool {
		call, is := n.(*ast.CallExpr)
		if !is {
			return true
		}
		selector, is := call.Fun.(*ast.SelectorExpr)
		if !is {
			return true
		}
		for _, arg := range call.Args {
			if v := info.Types[arg].Value; v != nil && v.Kind() == constant.String {
				network := constant.StringVal(v)
				plain[selector.Sel] = strings.HasPrefix(network, "tcp") || strings.HasPrefix(network, "udp")
				break
			}
		}
		return true
	})
	return plain
}
