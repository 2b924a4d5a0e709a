// Adds the response header `x-filter`: its value is the plugin configuration, or "go" when there is none.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{value: "go"} })
}

// plugin is one configuration of the filter.
type plugin struct {
	types.DefaultPluginContext
	value string
}

func (p *plugin) OnPluginStart(size int) types.OnPluginStartStatus {
	if size == 0 {
		return types.OnPluginStartStatusOK
	}
	configuration, err := proxywasm.GetPluginConfiguration()
	if err != nil {
		proxywasm.LogCriticalf("cannot read the configuration: %v", err)
		return types.OnPluginStartStatusFailed
	}
	p.value = string(configuration)
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &request{plugin: p} }

// request is one request and its response.
type request struct {
	types.DefaultHttpContext
	plugin *plugin
}

func (r *request) OnHttpResponseHeaders(int, bool) types.Action {
	if err := proxywasm.AddHttpResponseHeader("x-filter", r.plugin.value); err != nil {
		proxywasm.LogErrorf("cannot add the header: %v", err)
	}
	return types.ActionContinue
}
