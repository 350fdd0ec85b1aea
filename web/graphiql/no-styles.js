// In place of react-style-singleton, which dialogs use to insert a <style> that stops the page behind them from
// scrolling. This page never scrolls, and without that <style> it runs under a policy that forbids inline styles.
export const styleSingleton = () => () => null;
