class LinkLayer:
    def __init__(self, world, links, qubits, send): pass
    def reply(self, source, message): pass
    def receive(self, source, message): pass
    def broken(self, peer): pass
    def order(self, do, order): pass
