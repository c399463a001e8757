package cluster

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// noVerify: the programs create their own certificates, and listen on loopback.
var noVerify = &tls.Config{InsecureSkipVerify: true}

// writeFiles writes the programs' input files: keys, the administrator's token, and kubeconfig
// files for the API server.
func (c *Cluster) writeFiles(port int) error {
	c.APIServer = fmt.Sprintf("127.0.0.1:%d", port)
	c.Kubeconfig = c.path("kubeconfig")
	c.Config = &rest.Config{Host: "https://" + c.APIServer, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: 500, Burst: 1000}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "keda"}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{
		"sa.key": private, "sa.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"keda/tls.key": private, "keda/tls.crt": certificate, "keda/ca.crt": certificate,
		"tokens.csv": []byte(token + `,administrator,administrator,"system:masters"` + "\n" + nodeToken + "," + nodeUser + "," + nodeUser + `,"system:nodes"` + "\n"),
	} {
		if err := os.MkdirAll(filepath.Dir(c.path(name)), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(c.path(name), content, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(c.writeKubeconfig(c.Kubeconfig, token), c.writeKubeconfig(c.path("kubelet.conf"), nodeToken))
}

func (c *Cluster) writeKubeconfig(file, token string) error {
	k := api.NewConfig()
	k.Clusters["c"] = &api.Cluster{Server: c.Config.Host, InsecureSkipTLSVerify: true}
	k.AuthInfos["a"] = &api.AuthInfo{Token: token}
	k.Contexts["c"] = &api.Context{Cluster: "c", AuthInfo: "a"}
	k.CurrentContext = "c"
	return clientcmd.WriteToFile(*k, file)
}
