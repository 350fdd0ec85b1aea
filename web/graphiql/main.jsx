// The GraphiQL page: served in development only, from one script and one style sheet of our own origin.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { Kind, parse } from "graphql";
import "graphiql/style.css";
import { createRoot } from "react-dom/client";

import "./theme.css";
import { welcomeTabs } from "./tabs.js";

const root = document.getElementById("graphiql");

/** The landing page keeps its session in this tab; whoever comes from there is signed in here, visibly, by a header. */
function inheritedHeaders() {
  try {
    const session = JSON.parse(sessionStorage.getItem("antiphon.session"));
    return session ? JSON.stringify({ Authorization: `Bearer ${session.accessToken}` }, null, 2) : "";
  } catch {
    return "";
  }
}

const socket = new URL("/graphql", location.href);
socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";

// The toolkit sends the tab's headers as `connection_init` payload too: one Authorization header serves both.
const send = createGraphiQLFetcher({
  url: "/graphql",
  subscriptionUrl: socket.href,
  enableIncrementalDelivery: false, // the server neither defers nor streams
});

/** GraphiQL reads the operation out of the editor some 300 ms late; whoever is quicker must not send the last one. */
function fetcher(params, options) {
  let documentAST;
  try {
    documentAST = parse(params.query);
  } catch {
    return send({ ...params, operationName: undefined }, options); // the server says what is wrong with it
  }
  const operations = documentAST.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  const names = operations.map(({ name }) => name?.value);
  const operationName = names.includes(params.operationName) ? params.operationName : names[0];
  return send({ ...params, operationName }, { ...options, documentAST });
}

const headers = inheritedHeaders();

createRoot(root).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={welcomeTabs(root.dataset, headers)}
    defaultHeaders={headers}
    defaultEditorToolsVisibility={headers ? "variables" : "headers"}
    shouldPersistHeaders={false}
  >
    <GraphiQL.Logo>
      <a className="antiphon-home" href="/">
        <img src={root.dataset.mark} alt="" width="22" height="22" />
        Antiphon
      </a>
    </GraphiQL.Logo>
  </GraphiQL>,
);
