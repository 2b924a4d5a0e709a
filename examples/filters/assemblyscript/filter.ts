// Adds the response header `x-filter`: its value is the plugin configuration, or "assemblyscript" when that is empty.
// Its SDK traps on a plugin without any configuration ("memory access out of bounds"): give it at least one character.
export * from "@solo-io/proxy-runtime/proxy";
import { Context, FilterHeadersStatusValues, RootContext, registerRootContext, stream_context } from "@solo-io/proxy-runtime";

class Plugin extends RootContext {
  createContext(context_id: u32): Context {
    return new Request(context_id, this);
  }
}

class Request extends Context {
  constructor(context_id: u32, plugin: Plugin) {
    super(context_id, plugin);
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const configuration = this.root_context.getConfiguration();
    stream_context.headers.response.add("x-filter", configuration.length ? configuration : "assemblyscript");
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => new Plugin(context_id), "");
