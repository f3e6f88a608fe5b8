// The page shows what the agent does. It never sees a credential.
const list = document.getElementById('messages');
const cards = new Map(); // the card of each call that pauses

function show(m) {
  const card = cards.get(m.call);
  if (card && m.kind !== 'paused') {
    card.remove();
    cards.delete(m.call);
  }
  const item = document.createElement('li');
  item.className = m.kind;
  item.dataset.call = m.call;
  item.textContent = m.text;
  if (m.connectUrl) {
    item.append(document.createElement('br'), connectButton(m.connectUrl));
    cards.set(m.call, item);
  }
  list.append(item);
  item.scrollIntoView({ block: 'end' });
}

function connectButton(url) {
  const button = document.createElement('button');
  button.textContent = 'Connect';
  button.addEventListener('click', () => {
    // Each connect has a window of its own; where none may open, this one goes.
    if (!window.open(url, '_blank', 'popup,width=900,height=860')) location.href = url;
  });
  return button;
}

for (const id of ['ask', 'balance', 'disconnect']) {
  document.getElementById(id).addEventListener('submit', (event) => {
    event.preventDefault();
    fetch(`/${id}`, { method: 'POST' });
  });
}

const events = new EventSource('/events');
events.addEventListener('open', () => { list.replaceChildren(); cards.clear(); });
events.addEventListener('message', (event) => show(JSON.parse(event.data)));
